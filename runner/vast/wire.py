"""What every reply of the API has in common: read once, tolerant of more, strict about what is missing."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from runner.errors import ReplyError

log: Final = logging.getLogger(__name__)


def _or_none(value: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
    """Unknown where the value is of no use: what nothing depends on must not hide a machine that costs money."""
    try:
        return check(value)
    except ValidationError:
        log.info("field %s of an answer has an unexpected value, and is taken as unknown", info.field_name)
        return None


USEFUL: Final = WrapValidator(_or_none)
"""Mark of a field that is good to know, and None where it makes no sense."""
Usd = Annotated[Decimal, Field(allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def _shown(text: str | None) -> str | None:
    """Without what a terminal would obey: hosts have their say here."""
    return text if text is None else "".join(letter for letter in text if letter.isprintable())


Words = Annotated[str | None, AfterValidator(_shown), USEFUL]
"""For people."""
Fact = Annotated[Number | None, USEFUL]
Count = Annotated[int | None, USEFUL]
Flag = Annotated[bool | None, USEFUL]
Price = Annotated[Usd | None, USEFUL]


class Wire(BaseModel):
    """Root of what the API sends and takes. Fields carry our names; aliases are the API's.

    Fields of the API that nobody here needs are dropped unread: some of them are secrets.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    @classmethod
    def from_wire(cls, what: str, value: object) -> Self:
        """`value` as the API sent it. Raises `ReplyError` that names the field which is missing or wrong."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "content"
            wrong = "is missing" if first["type"] == "missing" else "has an unexpected value"
            # Never the cause: it may quote the value.
            raise ReplyError(
                f"{what}: field {field} of the answer {wrong}; is there a newer version of this?"
            ) from None

    def to_wire(self) -> dict[str, Any]:
        """As the API takes it; what is unknown is left out."""
        return {
            name: float(value) if isinstance(value, Decimal) else value
            for name, value in self.model_dump(by_alias=True, exclude_none=True).items()
        }


class Described(Wire):
    """A reply whose texts carry stray spaces and line breaks."""

    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value
