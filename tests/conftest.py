"""Fixtures of all tests: run a script as a user would, throw-away databases, goldens; skips are failures in CI."""

import getpass
import glob
import itertools
import os
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, List, NamedTuple, Union

import pytest

from running import EPOCH, SCRIPTS, Done, copy_product, execute, program

REQUIRE_LIVE = os.environ.get("REQUIRE_LIVE") == "1"
DATABASE_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def run() -> Callable[..., Done]:
    """Return run(script, *args, stdin=, cwd=, env=, python=): a script by its name, in an interpreter of its own."""

    def start(script: str, *args: Union[str, Path], python: str = sys.executable, **more: Any) -> Done:
        more["env"] = {"SOURCE_DATE_EPOCH": EPOCH, **(more.get("env") or {})}
        return execute([python, SCRIPTS / f"{script}.py", *args], **more)

    return start


# Live tests: absent programs and servers mean a visible skip; with REQUIRE_LIVE=1 any skip is a failure.


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    refuse_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    outcome = yield
    refuse_skip(outcome.get_result())


def refuse_skip(report: Any) -> None:
    if REQUIRE_LIVE and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"REQUIRE_LIVE=1 allows no skips: {reason}"


class Database(NamedTuple):
    """A throw-away database and the client that contracts name for its dialect."""

    name: str
    client: List[str]  # reads SQL from standard input and stops at the first error
    asking: List[str]  # the same client, printing bare values

    def apply(self, sql: str, timeout: float = 120) -> Done:
        return execute(self.client, stdin=sql, timeout=timeout)

    def query(self, sql: str) -> str:
        """Return what a query prints, without decoration; a failing query fails the test."""
        done = execute(self.asking, stdin=sql)
        assert done.code == 0, done.err
        return done.out.strip("\n")


def fast_psql() -> str:
    """Return the real psql: Debian's /usr/bin/psql is a wrapper that starts ten times slower."""
    return next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"), reverse=True)), None) or program("psql")


@pytest.fixture(scope="session")
def postgresql_admin() -> List[str]:
    """Return a psql command that may create databases, or skip."""
    users = [os.environ["PGUSER"]] if "PGUSER" in os.environ else ["postgres", getpass.getuser()]
    for user in users:
        command = [fast_psql(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", user]
        if execute([*command, "-d", "postgres", "-c", "SELECT 1"], timeout=20).code == 0:
            return command
    return pytest.skip(f"no PostgreSQL server lets {' or '.join(users)} in")


@pytest.fixture(scope="session")
def mariadb_admin() -> List[str]:
    """Return a mariadb command that may create databases, or skip."""
    command = [program("mariadb")]
    if execute([*command, "-e", "SELECT 1"], timeout=20).code != 0:
        pytest.skip("no MariaDB server answers")
    return command


def new_name() -> str:
    return f"ma_test_{os.getpid()}_{next(DATABASE_NUMBERS)}"


@pytest.fixture
def new_postgresql(postgresql_admin: List[str]) -> Iterator[Callable[[], Database]]:
    """Return a function that creates one empty PostgreSQL database more; all are dropped after the test."""
    made = []

    def create() -> Database:
        name = new_name()
        done = execute([*postgresql_admin, "-d", "postgres"], stdin=f"CREATE DATABASE {name} TEMPLATE template0")
        assert done.code == 0, done.err
        made.append(name)
        client = [*postgresql_admin, "-d", name, "-f", "-"]
        return Database(name, client, [*client, "-At"])

    yield create
    for name in made:
        execute([*postgresql_admin, "-d", "postgres"], stdin=f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def postgresql(new_postgresql: Callable[[], Database]) -> Database:
    """Return one empty PostgreSQL database."""
    return new_postgresql()


@pytest.fixture
def new_mariadb(mariadb_admin: List[str]) -> Iterator[Callable[[], Database]]:
    """Return a function that creates one empty MariaDB database more; all are dropped after the test."""
    made = []

    def create() -> Database:
        name = new_name()
        done = execute(mariadb_admin, stdin=f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        assert done.code == 0, done.err
        made.append(name)
        return Database(name, [*mariadb_admin, name], [*mariadb_admin, "-N", "-B", "-r", name])

    yield create
    for name in made:
        execute(mariadb_admin, stdin=f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def mariadb(new_mariadb: Callable[[], Database]) -> Database:
    """Return one empty MariaDB database."""
    return new_mariadb()


@pytest.fixture
def new_sqlite(tmp_path: Path) -> Callable[[], Database]:
    """Return a function that names one SQLite file more."""
    client = program("sqlite3")

    def create() -> Database:
        path = str(tmp_path / f"{new_name()}.db")
        return Database(path, [client, "-bail", path], [client, "-bail", "-batch", path])

    return create


@pytest.fixture
def sqlite(new_sqlite: Callable[[], Database]) -> Database:
    """Return one empty SQLite file."""
    return new_sqlite()


# Goldens


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regold", action="store_true", help="rewrite the golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Return golden(path, text): compare byte for byte with a committed file, or rewrite it under --regold."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--regold"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        assert path.exists(), f"{path} is missing; make it with: python3 -m pytest --regold"
        assert text == path.read_bytes().decode("utf-8")

    return compare


# The samples, and one valid run of each script


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with scripts/, assets/ and a plan.json made from the sample: read it, write elsewhere."""
    folder = tmp_path_factory.mktemp("workspace")
    copy_product(folder)
    made = execute(
        [
            sys.executable,
            "scripts/migration_planner.py",
            "-i",
            "assets/sample_database_migration.json",
            "-o",
            "plan.json",
            "-f",
            "json",
        ],
        cwd=folder,
        env={"SOURCE_DATE_EPOCH": EPOCH},
    )
    assert made.code == 0, made.err
    return folder
