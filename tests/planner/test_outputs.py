"""What a plan looks like outside of JSON: Markdown, HTML, CSV, iCalendar, and the options that choose them."""

import csv
import html.parser
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List

import pytest

import migration_planner as planner
from json_schema import problems, read_schema
from planning import Planned, example, make
from running import ASSETS, EPOCH, SCRIPTS, Done, execute, program

START = "2026-03-02T09:00"
EVIL = "<script>alert(1)</script> & \"it's\" | `x` </style> ```\nend"


def run(*arguments: Any, **more: Any) -> Done:
    environment = {"SOURCE_DATE_EPOCH": EPOCH}
    return execute(["python3", SCRIPTS / "migration_planner.py", "--simulations", "100", *arguments], env=environment,
                   **more)


def sample(letter: str = "b") -> Path:
    return next((ASSETS / "examples").glob(f"{letter}_*.json"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "made" / "here"
    done = run("-i", sample(), "--start", START, "--export", folder)
    assert (done.code, done.out) == (0, ""), done.err
    return folder


@pytest.fixture(scope="module")
def evil() -> Planned:
    """Return the plan of a specification whose names are made of markup."""
    spec = example("B")
    spec["source"], spec["name"] = f"PostgreSQL 13 on-prem {EVIL}", EVIL
    spec["constraints"]["dependencies"][0] = {"name": EVIL, "owner": EVIL, "can_pause": True}
    spec["tables_to_migrate"][0]["name"] = EVIL
    planned = make(spec, start=START)
    assert not planned.refused
    return planned


# Which files are written


def test_export_writes_four_files_and_nothing_else(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "migration_plan.md", "migration_plan.html", "tasks.csv", "calendar.ics"
    }


def test_export_without_a_start_has_no_calendar_and_says_why(tmp_path: Path) -> None:
    done = run("-i", sample("a"), "--export", tmp_path)
    assert done.code == 0 and "give --start" in done.err
    assert not (tmp_path / "calendar.ics").exists() and (tmp_path / "tasks.csv").exists()


def test_export_and_plan_together(tmp_path: Path) -> None:
    done = run("-i", sample("a"), "--export", tmp_path / "out", "-o", tmp_path / "plan.json", "-f", "json", "-q")
    assert done.code == 0 and json.loads((tmp_path / "plan.json").read_text())["phases"]
    assert (tmp_path / "out" / "migration_plan.html").exists()


def test_export_never_overwrites_an_input(tmp_path: Path) -> None:
    spec = tmp_path / "tasks.csv"
    shutil.copy(sample("a"), spec)
    done = run("-i", spec, "--export", tmp_path)
    assert done.code == 3 and "is an input of this run" in done.err
    assert spec.read_text() == sample("a").read_text()


def test_export_into_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    done = run("-i", sample("a"), "--export", tmp_path / "taken")
    assert done.code == 3 and str(tmp_path / "taken") in done.err
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("chosen, first", [("markdown", "# Migration plan "), ("html", "<!DOCTYPE html>")])
def test_format_goes_to_standard_output_or_into_the_file(tmp_path: Path, chosen: str, first: str) -> None:
    out = run("-i", sample("a"), "-f", chosen, "-q")
    filed = run("-i", sample("a"), "-f", chosen, "-q", "-o", tmp_path / "plan")
    assert (out.code, out.err, filed.code, filed.out) == (0, "", 0, "")
    assert out.out.startswith(first) and (tmp_path / "plan").read_text(encoding="utf-8") == out.out


def test_same_seed_same_bytes_in_every_format(exported: Path, tmp_path: Path) -> None:
    assert run("-i", sample(), "--start", START, "--export", tmp_path).code == 0
    for path in exported.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


# HTML


class Page(html.parser.HTMLParser):
    """Collects the elements of a page and checks that each one is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: List[str] = []
        self.seen: List[str] = []
        self.attributes: Dict[str, List[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1].lower() == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


@pytest.mark.parametrize("letter", "ABCDE")
def test_page_is_well_formed_and_fetches_nothing(letter: str) -> None:
    page = Page(planner.render_html(make(example(letter)).plan))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(page.seen)
    assert not {"src", "href", "xlink:href", "style"} & set(page.attributes)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert "url(" not in planner.STYLE and "@import" not in planner.STYLE


def test_page_shows_names_made_of_markup_as_text(evil: Planned) -> None:
    text = planner.render_html(evil.plan)
    assert "<script" not in text and "alert(1)" in text
    assert Page(text).open == [] and text.count("</style>") == 1


def test_chart_draws_each_phase_the_windows_and_the_final_step() -> None:
    planned = make(example("B"), start=START)
    text = planner.gantt_svg(planned.plan)
    for phase in planned.document["phases"]:
        assert f">{phase['name']}</text>" in text
    assert text.count("<path ") == sum(phase["point_of_no_return"] for phase in planned.document["phases"])
    assert text.count('fill="var(--window)"') >= 6
    numbers = [float(value) for value in re.findall(r'(?:x|x1|x2|width)="([\d.]+)"', text)]
    assert max(numbers) <= planner.CHART_WIDTH and "nan" not in text.lower()


def test_risk_matrix_holds_every_risk() -> None:
    planned = make(example("B"))
    matrix = planner.risk_matrix(planned.document["risks"])
    for risk in planned.document["risks"]:
        assert risk["id"] in matrix
    assert matrix.count('class="critical"') == sum(p * i >= 16 for p in range(1, 6) for i in range(1, 6))


def test_table_beside_the_chart_says_the_same() -> None:
    planned = make(example("D"), start=START)
    for phase, _, end, _ in planner.phase_bars(planned.plan):
        when = planner.moment(planned.plan.calendar, end)
        assert when[:10] in planner.html_timeline(planned.plan), phase.name


@pytest.mark.live
def test_chromium_draws_the_page_without_an_error(exported: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    done = execute(
        [program("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,2000",
         "--enable-logging=stderr",
         f"--screenshot={picture}", f"file://{exported / 'migration_plan.html'}"]
    )
    assert done.code == 0 and picture.stat().st_size > 50000
    assert "CONSOLE" not in done.err


# Markdown and Mermaid

BAR = re.compile(
    r"    \d+-\d+ [A-Za-z0-9 ()-]+ :(crit, )?[a-z][a-z0-9_]*, \d{4}-\d\d-\d\dT\d\d:\d\d, \d{4}-\d\d-\d\dT\d\d:\d\d"
    r"|    \d+ [A-Za-z0-9 ()-]+ :(crit, )?p\d+, \d{4}-\d\d-\d\dT\d\d:\d\d, \d{4}-\d\d-\d\dT\d\d:\d\d"
    r"|    \d+ Point of no return :milestone, m\d+, \d{4}-\d\d-\d\dT\d\d:\d\d, 0d"
    r"|    section \d+ [A-Za-z0-9 ()-]+"
)


def mermaid(text: str) -> str:
    return re.search(r"```mermaid\n(.*?)```", text, re.DOTALL).group(1)


def all_markdown(evil: Planned) -> List[str]:
    plans = [make(example(letter), start=start) for letter in "ABCDE" for start in (None, START)]
    return [planner.render_markdown(planned.plan) for planned in [*plans, evil]]


def test_mermaid_lines_keep_to_the_letters_that_every_version_reads(evil: Planned) -> None:
    for text in all_markdown(evil):
        head, rows = mermaid(text).splitlines()[:4], mermaid(text).splitlines()[4:]
        assert [line.split()[0] for line in head] == ["gantt", "title", "dateFormat", "axisFormat"]
        assert [line for line in rows if not BAR.fullmatch(line)] == []
        keys = re.findall(r":(?:crit, |milestone, )?([a-z][a-z0-9_]*),", mermaid(text))
        assert len(keys) == len(set(keys)) and len(keys) <= planner.MOST_BARS + 20


def mermaid_library() -> Path:
    """Return the real Mermaid as one file, or skip the test: MERMAID, else the package that npm installed globally."""
    roots = [Path(os.environ["MERMAID"])] if "MERMAID" in os.environ else []
    roots += [Path(execute([program("npm"), "root", "-g"]).out.strip()) / "mermaid"] if shutil.which("npm") else []
    files = [root / "dist" / "mermaid.min.js" for root in roots]
    found = next(filter(Path.exists, files), None)
    if not found:
        pytest.skip("the npm package mermaid is not installed (MERMAID names its folder)")
    return found


def test_mermaid_itself_reads_every_chart(evil: Planned, tmp_path: Path) -> None:
    library = mermaid_library()
    charts = [mermaid(text) for text in all_markdown(evil)] + ["gantt\n section a\n a b c\n::: {"]
    shutil.copy(library, tmp_path / "mermaid.js")
    listed = json.dumps(charts).replace("<", "\\u003c")
    (tmp_path / "page.html").write_text(
        '<meta charset="utf-8"><script src="mermaid.js"></script><body><pre></pre><script>(async () => { '
        f'for (const chart of {listed}) {{ let said; try {{ said = (await mermaid.parse(chart)).diagramType }} '
        'catch (e) { said = "refused" } document.querySelector("pre").append(said + "\\n") } })()</script></body>',
        encoding="utf-8")
    done = execute([program("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000",
                    "--disable-background-networking", "--dump-dom", (tmp_path / "page.html").as_uri()])
    said = re.search(r"<pre>(.*?)</pre>", done.out, re.DOTALL)
    assert said and said.group(1).split() == ["gantt"] * (len(charts) - 1) + ["refused"], done.out[-500:]


def test_markdown_has_a_box_for_each_task_and_gate() -> None:
    planned = make(example("A"))
    text = planner.render_markdown(planned.plan)
    phases = planned.document["phases"]
    boxes = sum(len(phase["task_details"]) + len(phase["gates"]) for phase in phases)
    boxes += len(planned.document["go_no_go"]) + len(planned.document["compliance"]["controls"])
    assert text.count("- [ ] ") == boxes


def test_markdown_tables_are_not_broken_by_what_they_hold(evil: Planned) -> None:
    width = 0
    for line in planner.render_markdown(evil.plan).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not cells or not width or cells == width, line
        width = cells


def test_markdown_markup_of_names_is_escaped(evil: Planned) -> None:
    outside = re.sub(r"(`+).*?\1", "", planner.render_markdown(evil.plan))
    assert "<script" not in outside.replace("\\<", "")


# CSV


def test_csv_has_a_row_for_each_task_with_its_hours(exported: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((exported / "tasks.csv").read_bytes().decode("utf-8"))))
    document = make(example("B"), start=START).document
    tasks = [item for phase in document["phases"] for item in phase["task_details"]]
    assert [row["id"] for row in rows] == [item["id"] for item in tasks]
    copy = next(row for row in rows if row["title"].startswith("Copy 2 500 GB"))
    assert (copy["owner"], copy["calendar"], copy["likely_hours"]) == ("DBA", "machine", "12.642")
    known = {row["id"] for row in rows}
    assert all(set(row["depends_on"].split()) <= known for row in rows)


def test_csv_cell_is_never_a_formula() -> None:
    spec = example("A")
    spec["constraints"]["dependencies"][0]["name"] = "=HYPERLINK(1)"
    rows = list(csv.reader(io.StringIO(planner.render_csv(make(spec).plan))))
    assert not [cell for row in rows for cell in row if cell[:1] in "=+@" and cell]
    assert planner.csv_cell("=1+1") == "'=1+1" and planner.csv_cell(-1) == -1


# iCalendar: RFC 5545


def unfolded(text: str) -> List[str]:
    return re.sub(r"\r\n[ \t]", "", text).split("\r\n")


def calendar(planned: Planned) -> str:
    return planner.render_ics(planned.plan)


@pytest.mark.parametrize("letter", "ABCDE")
def test_calendar_keeps_the_rules_of_its_lines(letter: str) -> None:
    text = calendar(make(example(letter), start=START))
    assert text.endswith("END:VCALENDAR\r\n") and text.startswith("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:")
    assert "\n" not in text.replace("\r\n", "") and "\r" not in text.replace("\r\n", "")
    assert max(len(line.encode("utf-8")) for line in text.split("\r\n")) <= 75
    depth: List[str] = []
    for line in unfolded(text)[:-1]:
        name, _, value = line.partition(":")
        assert re.fullmatch(r"[A-Z-]+", name), line
        if name == "BEGIN":
            depth.append(value)
        elif name == "END":
            assert depth.pop() == value
    assert depth == []


def test_calendar_events_have_what_each_must_have() -> None:
    text = calendar(make(example("D"), start=START))
    events = re.findall(r"BEGIN:VEVENT\r\n(.*?)END:VEVENT", re.sub(r"\r\n[ \t]", "", text), re.DOTALL)
    uids = [re.search(r"UID:(.*)\r", event).group(1) for event in events]
    assert len(events) == 12 and len(set(uids)) == 12  # four waves, their decisions, two notices, freeze and reserve
    for event in events:
        begin, end = (re.search(rf"{name}:(\d{{8}}T\d{{6}}Z)\r", event).group(1) for name in ("DTSTART", "DTEND"))
        assert begin < end and re.search(r"DTSTAMP:\d{8}T\d{6}Z\r", event) and "TRIGGER:-P1D" in event


def test_calendar_text_is_escaped_and_never_cut_inside_a_letter(evil: Planned) -> None:
    text = calendar(evil)
    for line in unfolded(text):
        if line.startswith(("SUMMARY:", "DESCRIPTION:")):
            value = line.partition(":")[2]
            assert not re.search(r"(?<!\\)(?:\\\\)*[;,]", re.sub(r"\\[\\;,nN]", "", value)), line
    assert planner.ics_text("a\\b;c,d\ne") == "a\\\\b\\;c\\,d\\ne"
    folded = list(planner.ics_fold("SUMMARY:" + "é" * 200))
    assert "".join(part[1:] if index else part for index, part in enumerate(folded)) == "SUMMARY:" + "é" * 200
    assert all(len(part.encode("utf-8")) <= 75 for part in folded)


def test_uid_stays_the_same_when_the_plan_is_made_again() -> None:
    first, second = (re.findall(r"UID:.*", calendar(make(example("B"), start=start)))
                     for start in (START, "2026-05-04"))
    assert sorted(first) == sorted(second)


# Dates


def test_cutover_lies_in_its_window_on_both_sides_of_the_clock_change() -> None:
    spec = example("B")
    spec["business_continuity"]["preferred_migration_window"].update(timezone="Europe/Berlin",
                                                                     days=["tue", "wed", "thu"])
    for start, hour in (("2026-01-12T09:00", "01"),
                        ("2026-06-01T09:00", "00")):  # 02:00 in Berlin is 01:00 or 00:00 UTC
        phase = next(p for p in make(spec, start=start).document["phases"] if p["name"] == "cutover")
        assert [t["start"][11:13] for t in phase["task_details"] if t["calendar"] == "window"][-1] == hour


def test_no_cutover_on_a_closed_day() -> None:
    spec = example("B")
    free = make(spec, start=START).document["schedule"]["cutover"][:10]
    spec["business_continuity"]["blackout_dates"] = [{"start": free, "reason": "inventory"}]
    assert make(spec, start=START).document["schedule"]["cutover"][:10] > free


def test_time_zone_of_the_start_moves_dates_and_nothing_else() -> None:
    plans = [make(example("A"), start=f"2026-03-02T09:00{offset}").document for offset in ("+00:00", "+02:00")]
    assert [plan["schedule"]["start"] for plan in plans] == ["2026-03-02T09:00:00Z", "2026-03-02T07:00:00Z"]
    assert plans[0]["duration"]["path_hours"] == plans[1]["duration"]["path_hours"]


def test_start_that_is_no_time_is_refused() -> None:
    done = run("-i", sample("a"), "--start", "tomorrow")
    assert done.code == 3 and "'tomorrow'" in done.err and "2026-03-02T09:00" in done.err


# Options


def test_strict_makes_warnings_problems(tmp_path: Path) -> None:
    assert run("-i", sample("c"), "--validate").code == 0
    done = run("-i", sample("c"), "--strict", "-o", tmp_path / "plan.json")
    assert done.code == 1 and "V060" in done.err and list(tmp_path.iterdir()) == []
    assert run("-i", sample("a"), "--strict", "-q", "-f", "json").code == 0


def test_validate_writes_its_verdict_and_nothing_else(tmp_path: Path) -> None:
    done = run("-i", sample("b"), "--validate", "-o", tmp_path / "plan.json", "--export", tmp_path / "out")
    assert (done.code, done.out) == (0, "") and "valid, 3 warnings" in done.err
    assert list(tmp_path.iterdir()) == []


def test_catalogue_names_every_pattern_and_fits_a_terminal() -> None:
    done = run("--list-patterns")
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 80
    for name, pattern in planner.PATTERNS.items():
        assert re.search(rf"^{name} ", done.out, re.MULTILINE) and pattern.phases[-1].name in done.out


# History


def record(number: int, outcome: str, **more: Any) -> Dict[str, Any]:
    return {"id": f"M-{number}", "date": "2025-06-01", "type": "database", "pattern": "cdc", "outcome": outcome, **more}


def with_history(tmp_path: Path, records: Any, *options: str) -> Dict[str, Any]:
    (tmp_path / "history.json").write_text(json.dumps(records), encoding="utf-8")
    done = run("-i", sample("b"), "-q", "-f", "json", "--history", tmp_path / "history.json", *options)
    assert done.code == 0, done.err
    return done.json


def test_history_of_twelve_moves_the_prior_by_beta_binomial(tmp_path: Path) -> None:
    records = [record(number, "success" if number < 9 else "rolled_back") for number in range(12)]
    assert [str(p) for p in problems({"records": records}, read_schema("migration_history"))] == []
    row = with_history(tmp_path, records)["success_probability"]
    prior, strength = row["prior"], row["pseudo_count"]
    assert row["method"].startswith("Beta-binomial over 12 records (pattern cdc)")
    assert row["without_outage_limit"] == pytest.approx((strength * prior + 9) / (strength + 12), abs=0.001)


def test_beta_quantiles_are_those_of_the_tables() -> None:
    """Prior 0.78 with ten pseudo-counts and 9 of 12: mean .76, 80 % interval .65 to .87; prior .80 alone .63 to .94."""
    a, b = 10 * 0.78 + 9, 10 * 0.22 + 3
    assert a / (a + b) == pytest.approx(0.76, abs=0.005)
    assert [planner.beta_quantile(a, b, share) for share in (0.1, 0.9)] == pytest.approx([0.65, 0.87], abs=0.01)
    assert [planner.beta_quantile(8, 2, share) for share in (0.1, 0.9)] == pytest.approx([0.63, 0.94], abs=0.01)


def learning_history(count: int) -> List[Dict[str, Any]]:
    """Return records in which a full rehearsal decides."""
    rows = []
    for number in range(count):
        good = number % 2 == 0
        factors = {"rehearsal": "full" if good else "none", "rollback_tested": good, "engine": "same",
                   "dependencies": 3}
        outcome = "success" if good != (number % 9 == 0) else "failed"
        rows.append(record(number, outcome, factors=factors, planned_hours=100, actual_hours=100 + number))
    return rows


def test_regression_learns_from_forty_records_and_shows_how_well(tmp_path: Path) -> None:
    row = with_history(tmp_path, {"records": learning_history(40)})["success_probability"]
    seen = row["cross_validation"]
    assert row["method"].startswith("logistic regression over 40 records")
    assert seen["brier"] < seen["brier_base_rate"] and seen["skill"] > 0
    assert sum(group["records"] for group in seen["bins"]) == 40
    assert seen["bins"][0]["observed"] < seen["bins"][-1]["observed"]
    low, high = row["interval_80"]
    assert low < row["probability"] < high


def test_regression_that_predicts_nothing_is_not_used(tmp_path: Path) -> None:
    records = [
        record(number, "success" if number % 3 else "failed", factors={"rehearsal": ("none", "full")[number % 2]})
        for number in range(30)
    ]
    row = with_history(tmp_path, records)["success_probability"]
    assert row["cross_validation"]["skill"] <= 0 and "is not used" in row["method"]


def test_overruns_of_the_past_replace_the_survey(tmp_path: Path) -> None:
    slow = [record(number, "success", planned_hours=100, actual_hours=300) for number in range(6)]
    alone = run("-i", sample("b"), "-q", "-f", "json").json
    taught = with_history(tmp_path, slow)
    assert taught["duration"]["path_hours"]["p50"] > 1.2 * alone["duration"]["path_hours"]["p50"]
    assert any("6 history records" in row["why"] for row in taught["assumptions"])


def test_records_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    odd = [record(0, "success"), record(1, "splendid"), 7, record(3, "failed", factors={"rehearsal": [1]})]
    row = with_history(tmp_path, [*odd, {**record(4, "success"), "date": "2019-01-01"}])["success_probability"]
    assert row["records"] == 2 and len(row["skipped_records"]) == 4
    assert "more than three years ago" in row["skipped_records"][-1]


def test_history_that_is_no_history_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text('{"records": 5}', encoding="utf-8")
    done = run("-i", sample("b"), "--history", tmp_path / "history.json", "-o", tmp_path / "plan.json")
    assert done.code == 1 and "records: found 5" in done.err and not (tmp_path / "plan.json").exists()


def test_record_to_append_fits_the_schema_once_it_is_filled_in() -> None:
    row = dict(make(example("B")).document["success_probability"]["history_template"])
    row.update(id="M-1", date="2026-05-01", outcome="success", actual_hours=400.0, actual_downtime_minutes=9.0)
    assert [str(p) for p in problems({"records": [row]}, read_schema("migration_history"))] == []
