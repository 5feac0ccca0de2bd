"""A model's parameters as a pydantic validator, made once per model, when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Literal

from pydantic_core import PydanticCustomError, SchemaError, SchemaValidator, core_schema
from pydantic_core.core_schema import CoreSchema

from aimlvideo.core.catalog.model import Model, Param

Extra = Literal["forbid", "allow"]


@lru_cache(maxsize=1024)
def validator_for(model: Model, extra: Extra) -> SchemaValidator:
    """Return what checks and converts the parameters of `model`; unknown names are errors or passed through."""
    return SchemaValidator(_object(model.params, extra))


def is_valid_model(model: Model) -> bool:
    """Say whether a validator can be made of what a document says about a model."""
    try:
        return bool(SchemaValidator(_object(model.params, "forbid")))
    except (SchemaError, TypeError, ValueError, OverflowError):
        return False


def _schema(param: Param, extra: Extra) -> CoreSchema:
    schema = _any_of(param, extra) if param.any_of else _MAKERS[param.type](param, extra)
    if param.choices:
        schema = core_schema.chain_schema([schema, core_schema.literal_schema(list(param.choices))])
    return core_schema.nullable_schema(schema) if param.nullable else schema


def _object(fields: Mapping[str, Param], extra: Extra) -> CoreSchema:
    return core_schema.typed_dict_schema(
        {
            name: core_schema.typed_dict_field(_schema(param, extra), required=param.required)
            for name, param in fields.items()
        },
        extra_behavior=extra,
    )


def _fields(param: Param, extra: Extra) -> CoreSchema:
    return core_schema.dict_schema() if param.fields is None else _object(param.fields, extra)


def _array(param: Param, extra: Extra) -> CoreSchema:
    item = _schema(param.item, extra) if param.item else None
    items = core_schema.list_schema(item, min_length=param.min_items, max_length=param.max_items)
    return core_schema.no_info_before_validator_function(_list_like, items)


def _string(param: Param, extra: Extra) -> CoreSchema:
    if param.media:
        return core_schema.no_info_plain_validator_function(_picture if param.media in _PICTURES else _file)
    limits = {"min_length": param.min_length, "max_length": param.max_length}
    # Strict: a number for a prompt is a slip in a table, not a prompt.
    text = core_schema.str_schema(strict=True, **limits)  # type: ignore[arg-type]
    if _holds_number(param):
        return core_schema.no_info_before_validator_function(_as_text, text)
    return text


def _holds_number(param: Param) -> bool:
    """Say whether this text is a number in quotes, as a duration of "5": then 5 means the same."""
    return any(isinstance(text, str) and text.isdecimal() for text in (*param.choices, param.default))


def _integer(param: Param, extra: Extra) -> CoreSchema:
    whole = core_schema.int_schema(ge=_whole(param.minimum), le=_whole(param.maximum))
    return core_schema.no_info_before_validator_function(_no_bool, whole)


def _whole(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


def _number(param: Param, extra: Extra) -> CoreSchema:
    number = core_schema.float_schema(ge=param.minimum, le=param.maximum, allow_inf_nan=False)
    plain = core_schema.no_info_before_validator_function(_no_bool, number)
    return core_schema.no_info_after_validator_function(_shortest, plain)


def _any_of(param: Param, extra: Extra) -> CoreSchema:
    forms: list[CoreSchema | tuple[CoreSchema, str]] = [
        (_schema(form, extra), str(number)) for number, form in enumerate(param.any_of)
    ]
    # In the document's order, not by the best fit: a text that fits two forms must always become the same one.
    return core_schema.union_schema(forms, mode="left_to_right")


_MAKERS: dict[str, Callable[[Param, Extra], CoreSchema]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda param, extra: core_schema.bool_schema(),
    "array": _array,
    "object": _fields,
    "any": lambda param, extra: core_schema.any_schema(),
}

_PICTURES = frozenset({"image", "any"})


def _no_bool(value: Any) -> Any:
    """Refuse True where a number is wanted: Python would take it for 1."""
    if value is True or value is False:
        raise PydanticCustomError("number", "not a number")
    return value


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _list_like(value: Any) -> Any:
    """Refuse what has no order or is a text: the order of pictures matters."""
    if isinstance(value, list | tuple):
        return value
    raise PydanticCustomError("list", "not a list")


def _shortest(value: float) -> float:
    # 5.0 is sent as 5: some services refuse the other spelling of a whole number.
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _file(value: Any) -> Any:
    """Pass a link or path as text, a path, or the bytes themselves; whether it can be read is seen when it is read."""
    if isinstance(value, PurePath) or (isinstance(value, str | bytes | bytearray) and value.strip()):
        return value
    raise PydanticCustomError("media", "no file")


def _picture(value: Any) -> Any:
    """Pass what `_file` passes, and a PIL image (known by what it can do, so that PIL need not be there)."""
    return value if hasattr(value, "save") and hasattr(value, "size") else _file(value)
