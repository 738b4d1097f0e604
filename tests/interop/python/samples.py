"""Arguments made up from what a server lists about itself, so that no name of the demo is written down here."""

import re


def value(schema: dict) -> object:
    """A small value that a JSON Schema allows, as far as tools' argument schemas usually go."""
    if "default" in schema:
        # What a number counts often takes its time.
        return min(schema["default"], _number(schema)) if "minimum" in schema else schema["default"]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("oneOf", "anyOf"):
        if schema.get(choice):
            return value(schema[choice][0])
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "boolean":
        return True
    if kind == "array":
        return [value(schema.get("items", {}))] * max(1, schema.get("minItems", 1))
    if kind == "object" or "properties" in schema:
        return arguments(schema)
    if kind == "null":
        return None
    text = "x".ljust(schema.get("minLength", 1), "x") + "-sample"
    return text[: schema.get("maxLength", len(text))]


def arguments(schema: dict) -> dict:
    return {name: value(property) for name, property in schema.get("properties", {}).items()}


def expand(template: str) -> str:
    """A URI template with every variable set to `sample`."""

    def expression(match: re.Match) -> str:
        operator, names = match[1], [name.rstrip("*").split(":")[0] for name in match[2].split(",")]
        if operator in ("?", "&", ";"):
            joined = ("&" if operator != ";" else ";").join(f"{name}=sample" for name in names)
            return operator + joined
        separator = operator if operator in (".", "/") else ","
        prefix = operator if operator in ("#", ".", "/") else ""
        return prefix + separator.join("sample" for _ in names)

    return re.sub(r"\{([+#./;?&]?)([^}]+)\}", expression, template)


def prompt_arguments(prompt: dict) -> dict[str, str]:
    """The required ones only: a prompt lists no schema, and an optional argument may take a few words only."""
    names = [argument["name"] for argument in prompt.get("arguments") or [] if argument.get("required")]
    return {name: "sample:uri" if name.lower().endswith("uri") else "sample" for name in names}


def _number(schema: dict) -> float | int:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 2) - 1)
    return min(max(low, 1), high)
