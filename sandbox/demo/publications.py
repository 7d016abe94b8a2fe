"""Publications of Brazilian courts, made up: names, lawsuits and texts as the gazettes have them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sandbox.demo.courts import COURTS, Court, lawsuit_number, misread

_GIVEN = (
    "Ana Beatriz",
    "Antônio",
    "Camila",
    "Carlos Eduardo",
    "Cláudia",
    "Daniel",
    "Fernanda",
    "Francisco",
    "Gabriela",
    "Gustavo",
    "Helena",
    "Igor",
    "Isabela",
    "João Pedro",
    "José Carlos",
    "Juliana",
    "Larissa",
    "Lúcia",
    "Luiz Felipe",
    "Marcelo",
    "Maria Aparecida",
    "Mariana",
    "Paulo",
    "Rafael",
    "Renata",
    "Ricardo",
    "Rodrigo",
    "Sônia",
    "Thiago",
    "Vanessa",
)
_FAMILY = (
    "Almeida",
    "Alves",
    "Araújo",
    "Barbosa",
    "Barros",
    "Cardoso",
    "Carvalho",
    "Castro",
    "Conceição",
    "Costa",
    "Dias",
    "Ferreira",
    "Freitas",
    "Gomes",
    "Gonçalves",
    "Lima",
    "Lopes",
    "Machado",
    "Martins",
    "Mendes",
    "Moreira",
    "Nascimento",
    "Nunes",
    "Oliveira",
    "Pereira",
    "Ribeiro",
    "Rocha",
    "Santos",
    "Silva",
    "Souza",
    "Teixeira",
    "Vieira",
)
_COMPANIES = (
    "Aurora Energia S.A.",
    "Banco Serra Azul S.A.",
    "Construtora Ipê Amarelo Ltda.",
    "Plano de Saúde Boa Vida S.A.",
    "Supermercados Bom Vizinho Ltda.",
    "Transportadora Três Rios Ltda.",
    "Viação Litorânea S.A.",
)
_TEXTS = (
    (
        "Intimação",
        "Processo {numero}. Autor(a): {autor}. Réu: {reu}. Vistos. Manifeste-se a parte autora, no prazo de 15 (quinze)"
        " dias, sobre a contestação e os documentos que a acompanham. Após, tornem conclusos. Int. Adv.: {advogado}.",
    ),
    (
        "Sentença",
        "Processo {numero}. Autor(a): {autor}. Réu: {reu}. Ante o exposto, JULGO PARCIALMENTE PROCEDENTE o pedido, com"
        " fundamento no art. 487, I, do CPC, para condenar a parte ré ao pagamento de R$ {valor}, corrigidos"
        " monetariamente. Custas na forma da lei. P.R.I. Adv.: {advogado}.",
    ),
    (
        "Despacho",
        "Processo {numero}. Autor(a): {autor}. Réu: {reu}. Designo audiência de conciliação, a realizar-se por"
        " videoconferência. Intimem-se as partes por seus procuradores, que deverão informar e-mail e telefone em 5"
        " (cinco) dias. Adv.: {advogado}.",
    ),
    (
        "Decisão",
        "Processo {numero}. Autor(a): {autor}. Réu: {reu}. Defiro a produção de prova pericial. Faculto às partes a"
        " indicação de assistentes técnicos e a apresentação de quesitos no prazo de 15 (quinze) dias. Fixo honorários"
        " provisórios em R$ {valor}. Intimem-se. Adv.: {advogado}.",
    ),
    (
        "Edital",
        "Processo {numero}. Exequente: {autor}. Executado: {reu}. Fica a parte executada intimada a pagar o débito de"
        " R$ {valor} no prazo de 15 (quinze) dias, sob pena de multa de 10% (art. 523, § 1º, do CPC)."
        " Adv.: {advogado}.",
    ),
)
_FIRST_DAY = date(2025, 9, 1)
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as a clipping service would hand it over; dates are days of Brasília."""

    number: str
    court: str
    available: date
    published: date
    text: str
    body: str
    kind: str
    sealed: bool = False
    dressed: bool = False

    def variables(self) -> dict[str, str | bool | date]:
        """Return the process variables. `dressed` writes the same in another way: digits only, dates as DD/MM/AAAA."""
        return {
            "numero_processo": self.number.replace("-", "").replace(".", "") if self.dressed else self.number,
            "tribunal": self.court,
            "data_disponibilizacao": f"{self.available:%d/%m/%Y}" if self.dressed else self.available,
            "data_publicacao": f"{self.published:%d/%m/%Y}" if self.dressed else self.published,
            "texto": self.text,
            "orgao_julgador": self.body,
            "tipo_comunicacao": self.kind,
            "segredo_justica": self.sealed,
        }

    def repeated(self) -> Publication:
        """Return the same publication as another service hands it over."""
        return replace(self, dressed=True)

    def misread(self) -> Publication:
        """Return it with a lawsuit number whose check digits are wrong."""
        return replace(self, number=misread(self.number))


def person(chance: random.Random) -> str:
    """Return a Brazilian name: one or two given names and two family names."""
    first, second = chance.sample(_FAMILY, 2)
    return f"{chance.choice(_GIVEN)} {first} {second}"


def publication(chance: random.Random, *, sealed: bool = False) -> Publication:
    """Return a publication with a valid lawsuit number; the gazette comes one working day before it counts."""
    court = chance.choice(COURTS)
    origin, body = chance.choice(court.bodies)
    number = lawsuit_number(chance, court, origin)
    kind, text = chance.choice(_TEXTS)
    available = _working_day(_FIRST_DAY + timedelta(days=chance.randrange(90)))
    return Publication(
        number=number,
        court=court.acronym,
        available=available,
        published=_working_day(available + timedelta(days=1)),
        text=_fill(chance, text, number, court),
        body=body,
        kind=kind,
        sealed=sealed,
    )


def _fill(chance: random.Random, text: str, number: str, court: Court) -> str:
    reais = f"{chance.randrange(1_000, 95_000):,}".replace(",", ".")
    licence = f"{chance.randrange(20_000, 480_000):,}".replace(",", ".")
    return text.format(
        numero=number,
        autor=person(chance),
        reu=chance.choice(_COMPANIES).removesuffix("."),
        valor=f"{reais},{chance.randrange(100):02}",
        advogado=f"{person(chance)} (OAB/{court.state} {licence})",
    )


def _working_day(day: date) -> date:
    while day.weekday() >= _SATURDAY:
        day += timedelta(days=1)
    return day
