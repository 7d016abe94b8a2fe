"""The topic `nova_publicacao`: a publication of a Brazilian court, stored once however often it comes.

The names are those of the domain, in Portuguese.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bridge.topic import BpmnError, Context, topic

_NUMERO = re.compile(r"([0-9]{7})-?([0-9]{2})\.?([0-9]{4})\.?([1-9])\.?([0-9]{2})\.?([0-9]{4})")
_DATA_BRASILEIRA = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")


def normalizar_numero(numero: str) -> str:
    """Return the CNJ number of a lawsuit as `NNNNNNN-DD.AAAA.J.TR.OOOO`, given with or without its punctuation.

    Raises `ValueError` where the form or the check digits are wrong (CNJ resolution 65/2008, ISO 7064 mod 97-10).
    """
    partes = _NUMERO.fullmatch(numero.strip())
    if partes is None:
        raise ValueError("não é um número CNJ: NNNNNNN-DD.AAAA.J.TR.OOOO")
    sequencial, digitos, ano, segmento, tribunal, origem = partes.groups()
    # A remainder of 1 alone would let 00, 01 and 99 pass as 97, 98 and 02.
    esperado = 98 - int(f"{sequencial}{ano}{segmento}{tribunal}{origem}00") % 97
    if int(digitos) != esperado:
        raise ValueError("os dígitos verificadores do número CNJ não conferem")
    return f"{sequencial}-{digitos}.{ano}.{segmento}.{tribunal}.{origem}"


def _ler_data(valor: Any) -> Any:
    """Read a date from text: `DD/MM/AAAA`, or the day that a moment in ISO 8601 names."""
    if not isinstance(valor, str):
        return valor
    valor = valor.strip()
    if brasileira := _DATA_BRASILEIRA.fullmatch(valor):
        dia, mes, ano = brasileira.groups()
        return f"{ano}-{mes}-{dia}"
    return datetime.fromisoformat(valor).date() if "T" in valor else valor


def _recusar_vazio(texto: str) -> str:
    if not texto.strip():
        raise ValueError("não pode ser vazio")
    return texto


def _normalizar_tribunal(tribunal: str) -> str:
    return " ".join(_recusar_vazio(tribunal).upper().split())


Data = Annotated[date, BeforeValidator(_ler_data)]


class Publicacao(BaseModel):
    """A publication as the process hands it over.

    Dates may be ISO, `DD/MM/AAAA` or Date variables. `data_disponibilizacao` is when the gazette appeared: the
    publication counts from a later day (law 11.419/2006, art. 4), never from an earlier one.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    numero_processo: Annotated[str, AfterValidator(normalizar_numero)]
    tribunal: Annotated[str, Field(max_length=200), AfterValidator(_normalizar_tribunal)]
    data_publicacao: Data
    data_disponibilizacao: Data | None = None
    texto: Annotated[str, AfterValidator(_recusar_vazio)]
    orgao_julgador: str | None = None
    tipo_comunicacao: str | None = None
    segredo_justica: bool = False

    @model_validator(mode="after")
    def _conferir_ordem(self) -> Publicacao:
        if self.data_disponibilizacao is not None and self.data_publicacao < self.data_disponibilizacao:
            raise ValueError("data_publicacao não pode ser anterior a data_disponibilizacao")
        return self

    @property
    def impressao_digital(self) -> str:
        """What is the same whenever the same publication comes: line breaks, spacing and case of the court aside."""
        texto = " ".join(unicodedata.normalize("NFC", self.texto).split())
        partes = [
            self.numero_processo,
            "".join(filter(str.isalnum, self.tribunal)),
            self.data_publicacao.isoformat(),
            hashlib.sha256(texto.encode()).hexdigest(),
        ]
        return hashlib.sha256(json.dumps(partes).encode()).hexdigest()


class PublicacaoRegistrada(BaseModel):
    """What the process gets back; `nova` is false where the publication was stored before."""

    publicacao_id: str
    nova: bool
    numero_processo: str


@topic("nova_publicacao", timeout=30, secrets=["texto"])
async def nova_publicacao(publicacao: Publicacao, context: Context) -> PublicacaoRegistrada:
    """Store the publication once; raise the BPMN error `PUBLICACAO_SIGILOSA` for one under judicial secrecy."""
    if publicacao.segredo_justica:
        raise BpmnError("PUBLICACAO_SIGILOSA", "o processo corre em segredo de justiça")
    registro = publicacao.model_dump(mode="json", exclude={"segredo_justica"})
    publicacao_id, nova = await context.put_once("publicacoes", publicacao.impressao_digital, registro)
    context.log.info("publicacao registrada", publicacao_id=publicacao_id, nova=nova)
    return PublicacaoRegistrada(publicacao_id=publicacao_id, nova=nova, numero_processo=publicacao.numero_processo)
