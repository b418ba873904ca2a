"""One live run: an exporter fails, Prometheus fires the exported rule, Alertmanager tells a local sink."""

import http.server
import json
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from running import program
from undo_live import exported

pytestmark = pytest.mark.live
WARM_UP = 12  # seconds: longer than the rate window


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Exporter(http.server.BaseHTTPRequestHandler):
    """Answers 100 requests a second; half of them fail once `failing_since` is set."""

    started = time.monotonic()
    failing_since = 0.0

    def do_GET(self) -> None:
        here = type(self)
        now = time.monotonic()
        failed = int(50 * (now - here.failing_since)) if here.failing_since else 0
        good = int(100 * (now - here.started)) - failed
        name = "http_requests_total"
        rows = [
            f'{name}{{cohort="new",migration_id="abc",code="{code}"}} {value}'
            for code, value in (("200", good), ("500", failed))
        ]
        body = (f"# TYPE {name} counter\n" + "\n".join(rows) + "\n").encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Sink(http.server.BaseHTTPRequestHandler):
    """Keeps what Alertmanager sends, with the time and the login."""

    got: List[Any] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append((time.monotonic(), self.headers.get("Authorization"), json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def serve(handler: Any) -> Any:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def start_servers(folder: Path, exporter: int) -> List["subprocess.Popen[bytes]"]:
    """Start Alertmanager and Prometheus on the exported files, as the operator would."""
    manager, web = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(folder / "prometheus.rules.json")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]},
        "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}],
    }
    (folder / "prometheus.json").write_text(json.dumps(config), encoding="utf-8")
    alone = ["--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{manager}", f"--storage.path={folder}/am"]
    commands = [
        [program("prometheus-alertmanager"), f"--config.file={folder}/alertmanager.json", *alone],
        [
            program("prometheus"),
            f"--config.file={folder}/prometheus.json",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{web}",
        ],
    ]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return [subprocess.Popen(command, cwd=folder, **silent) for command in commands]


def exported_rules(folder: Path, sink: int) -> Dict[str, Any]:
    """Export a plan with a quick trigger; secrets lie in files that the test writes."""
    (folder / "executor_token").write_text("let-me-in", encoding="utf-8")
    for name in ("slack_url", "pagerduty_key"):
        (folder / name).write_text(f"http://127.0.0.1:{sink}/{name}", encoding="utf-8")
    facts = {
        "scrape_interval_seconds": 2,
        "secrets_directory": str(folder),
        "pagerduty_url": f"http://127.0.0.1:{sink}/pagerduty",
        "executor_url": f"http://127.0.0.1:{sink}/rollback",
        "flag_off_command": "true",
    }
    (folder / "inventory.json").write_text(json.dumps(facts), encoding="utf-8")
    trigger = {"metric": "error_rate", "threshold": 0.25, "duration_minutes": 0.3, "action": "automatic_rollback"}
    specification = {"rollback_triggers": [trigger], "feature_flags": [{"name": "new_cart"}]}
    phase = {"name": "redirect", "recovery": {"steps": "flag to 0 %"}, "rollback_triggers": []}
    plan = {"migration_id": "abc", "pattern": "strangler_fig", "phases": [phase], "specification": specification}
    exported(folder, plan, "--inventory", str(folder / "inventory.json"))
    book = json.loads((folder / "runbook.json").read_text(encoding="utf-8"))
    return book["trigger_conditions"][0]


def test_alert_fires_when_the_formula_says(tmp_path: Path) -> None:
    exporter, sink = serve(Exporter), serve(Sink)
    trigger = exported_rules(tmp_path, sink.server_port)
    assert trigger["auto_execute"], trigger["auto_execute_reason"]
    running = start_servers(tmp_path, exporter.server_port)
    try:
        time.sleep(WARM_UP)
        Exporter.failing_since = time.monotonic()
        predicted = trigger["detection"]["seconds"] - 5  # the executor's route waits for no group
        deadline = Exporter.failing_since + 3 * predicted
        while not [hit for hit in Sink.got if hit[1]] and time.monotonic() < deadline:
            time.sleep(0.1)
        told = [hit for hit in Sink.got if hit[1]]
        assert told, "no alert reached the sink"
        seen = told[0][0] - Exporter.failing_since
        assert told[0][1] == "Bearer let-me-in"
        assert told[0][2]["commonLabels"]["action"] == "automatic_rollback"
        assert abs(seen - predicted) <= 0.2 * predicted, (seen, predicted)
    finally:
        for process in running:
            process.terminate()
            process.wait(20)
        exporter.shutdown()
        sink.shutdown()
