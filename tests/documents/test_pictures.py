"""The pictures of README.md: small, of one size, each shown, and the program that takes them has no fault."""

import re
import struct
from pathlib import Path

import pytest

from running import ASSETS, ROOT, execute, program

PICTURES = sorted((ASSETS / "pictures").glob("*.png"))


def test_each_picture_is_shown_with_words_for_who_cannot_see_it() -> None:
    shown = re.findall(r"^!\[([^\]]{20,})\]\(assets/pictures/([\w.]+)\)$", (ROOT / "README.md").read_text("utf-8"),
                       re.MULTILINE)
    assert sorted(name for _, name in shown) == [path.name for path in PICTURES]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_picture_is_small(path: Path) -> None:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and struct.unpack(">II", data[16:24]) == (1000, 640)
    assert len(data) < 150_000


def test_program_that_takes_them_is_clean_for_shellcheck() -> None:
    done = execute([program("shellcheck"), ASSETS / "pictures" / "make.sh"])
    assert (done.code, done.out) == (0, "")
