"""The whole chain as a user runs it: export the schemas, take the queries, run them, compare their output."""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence
from unittest import mock

import compatibility_checker as checker
from running import ASSETS, EPOCH, Done, execute

DIALECT = {"postgresql": "postgresql", "mariadb": "mysql", "mysql": "mysql", "sqlite": "sqlite"}


def check(*arguments: Any, config: Optional[Dict[str, Any]] = None, folder: Optional[Path] = None) -> Done:
    """Run the checker; a configuration is written beside the other files first."""
    more: List[Any] = []
    if config is not None:
        assert folder
        (folder / "config.json").write_text(json.dumps({"reconciliation": config}))
        more = ["--config", folder / "config.json"]
    done = checked([str(argument) for argument in (*arguments, *more)])
    assert "internal error" not in done.err, done.err
    return done


def checked(arguments: List[str]) -> Done:
    """Run the checker inside this process, which spares the start of an interpreter; nothing else differs."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    with mock.patch.object(sys, "stdout", streams[0]), mock.patch.object(sys, "stderr", streams[1]):
        with mock.patch.dict("os.environ", {"SOURCE_DATE_EPOCH": EPOCH}):
            try:
                code = checker.run(checker.TOOL, checker.main, arguments)
            except SystemExit as leaving:
                code = int(leaving.code or 0)
    return Done(code, *(stream.buffer.getvalue().decode("utf-8") for stream in streams))


class Place:
    """One side of a reconciliation: a database of one engine."""

    def __init__(self, engine: str, database: Any, folder: Path) -> None:
        self.engine, self.database, self.folder = DIALECT[engine], database, folder

    def schema(self) -> Path:
        """Return the schema document of a server, or the SQLite file itself."""
        if self.engine == "sqlite":
            return Path(self.database.name)
        path = self.folder / f"{self.database.name}.schema.json"
        path.write_text(self.database.query((ASSETS / f"export_schema_{self.engine}.sql").read_text("utf-8")), "utf-8")
        return path

    def run(self, query: str) -> str:
        """Run one generated query as its report says."""
        if self.engine == "sqlite":
            program = self.folder / "query.py"
            program.write_text(query, "utf-8")
            done = execute([sys.executable, program, self.database.name])
        else:
            done = execute(self.database.asking, stdin=query)
        assert done.code == 0 and done.out.startswith("{"), done.err or done.out
        return done.out


    def run_all(self, texts: Sequence[str]) -> str:
        """Run many queries; a server's client takes them as one file."""
        return "".join(map(self.run_here, texts)) if self.engine == "sqlite" else self.run("".join(texts))

    def run_here(self, program: str) -> str:
        """Run a generated program inside this process."""
        printed = io.StringIO()
        with mock.patch.object(sys, "argv", ["program", self.database.name]), contextlib.redirect_stdout(printed):
            exec(program, {})
        return printed.getvalue()


def report_of(source: Place, target: Place, config: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    done = check("--before", source.schema(), "--after", target.schema(), "-f", "json", config=config,
                 folder=source.folder)
    assert done.code != 3, done.err
    return done.json["reconciliation"]


def queries(section: Dict[str, Any], role: str, place: Place, names: Sequence[str] = ("profile",)) -> List[str]:
    """Return the queries of one side whose names begin with one of these."""
    return [text for table in section["tables"] for name, text in table["queries"][role][place.engine].items()
            if name.startswith(tuple(names))]


def profiles(section: Dict[str, Any], source: Place, target: Place, tmp: Path,
             names: Sequence[str] = ("profile",)) -> List[Path]:
    """Run the queries of both sides; return the two files with their outputs."""
    paths = []
    for role, place in (("source", source), ("target", target)):
        path = tmp / f"{role}.jsonl"
        path.write_text("".join(place.run(query) for query in queries(section, role, place, names)), "utf-8")
        paths.append(path)
    return paths


def compare(paths: Sequence[Path], *more: Any) -> Done:
    return check("--type", "data", "--before", paths[0], "--after", paths[1], "-f", "json", *more)


def issues(done: Done, *severities: str) -> List[Dict[str, Any]]:
    assert done.code != 3, done.err
    return [issue for issue in done.json["issues"] if not severities or issue["severity"] in severities]

