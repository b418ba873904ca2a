"""The fixture of the MariaDB tests; they skip, with the reason, where no server answers."""

import pytest

from my_live import Bench


@pytest.fixture
def bench(tmp_path, new_mariadb):
    """Return a maker of databases and migrations."""
    return Bench(tmp_path, new_mariadb)
