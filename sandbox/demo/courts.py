"""Brazilian courts, and the numbers of the lawsuits before them (CNJ resolution 65/2008)."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Court:
    """A court: its segment of justice and its number therein, and its first-instance bodies by unit of origin."""

    acronym: str
    segment: int
    number: int
    state: str
    bodies: tuple[tuple[str, str], ...]


COURTS = (
    Court(
        "TJSP",
        8,
        26,
        "SP",
        (
            ("0100", "12ª Vara Cível do Foro Central Cível da Comarca de São Paulo"),
            ("0114", "3ª Vara Cível da Comarca de Campinas"),
            ("0564", "7ª Vara Cível da Comarca de São Bernardo do Campo"),
        ),
    ),
    Court(
        "TJRJ",
        8,
        19,
        "RJ",
        (("0001", "21ª Vara Cível da Comarca da Capital"), ("0002", "5ª Vara Cível da Comarca de Niterói")),
    ),
    Court(
        "TJMG",
        8,
        13,
        "MG",
        (
            ("0024", "9ª Vara Cível da Comarca de Belo Horizonte"),
            ("0702", "2ª Vara Cível da Comarca de Uberlândia"),
        ),
    ),
    Court("TJRS", 8, 21, "RS", (("0001", "4ª Vara Cível do Foro Central de Porto Alegre"),)),
    Court(
        "TRT1",
        5,
        1,
        "RJ",
        (("0001", "1ª Vara do Trabalho do Rio de Janeiro"), ("0027", "27ª Vara do Trabalho do Rio de Janeiro")),
    ),
    Court(
        "TRT2",
        5,
        2,
        "SP",
        (("0008", "8ª Vara do Trabalho de São Paulo"), ("0061", "61ª Vara do Trabalho de São Paulo")),
    ),
    Court("TRT4", 5, 4, "RS", (("0011", "11ª Vara do Trabalho de Porto Alegre"),)),
    Court("TRF3", 4, 3, "SP", (("6183", "6ª Vara Previdenciária Federal de São Paulo"),)),
    Court("TRF4", 4, 4, "PR", (("7000", "13ª Vara Federal de Curitiba"),)),
)


def lawsuit_number(chance: random.Random, court: Court, origin: str) -> str:
    """Return a valid number before a court, as `NNNNNNN-DD.AAAA.J.TR.OOOO`."""
    sequence, year = chance.randrange(1, 10_000_000), chance.randrange(2016, 2026)
    return _with_digits(f"{sequence:07}", f"{year}", f"{court.segment}", f"{court.number:02}", origin)


def misread(number: str) -> str:
    """Return the number with check digits that don't agree, as a misread scan has them."""
    digits = int(number[8:10])
    return f"{number[:8]}{(digits + 9) % 97 + 1:02}{number[10:]}"


def _with_digits(sequence: str, year: str, segment: str, court: str, origin: str) -> str:
    digits = 98 - int(f"{sequence}{year}{segment}{court}{origin}00") % 97
    return f"{sequence}-{digits:02}.{year}.{segment}.{court}.{origin}"
