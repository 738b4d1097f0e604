// Arguments made up from what a server lists about itself, so that no name of the demo is written down here.

/** A small value that a JSON Schema allows, as far as tools' argument schemas usually go. */
export function value(schema) {
  // What a number counts often takes its time.
  if ('default' in schema) return 'minimum' in schema ? Math.min(schema.default, number(schema)) : schema.default;
  if ('const' in schema) return schema.const;
  if (schema.enum?.length) return schema.enum[0];
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices?.length) return value(choices[0]);
  const kind = Array.isArray(schema.type) ? schema.type.find((one) => one !== 'null') : schema.type;
  if (kind === 'integer' || kind === 'number') return number(schema);
  if (kind === 'boolean') return true;
  if (kind === 'array') return Array(Math.max(1, schema.minItems ?? 1)).fill(value(schema.items ?? {}));
  if (kind === 'object' || schema.properties) return toolArguments(schema);
  if (kind === 'null') return null;
  return `${'x'.padEnd(schema.minLength ?? 1, 'x')}-sample`.slice(0, schema.maxLength);
}

export function toolArguments(schema) {
  return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, one]) => [name, value(one)]));
}

/** The required ones only: a prompt lists no schema, and an optional argument may take a few words only. */
export function promptArguments(prompt) {
  const names = (prompt.arguments ?? []).filter((one) => one.required).map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, /uri$/i.test(name) ? 'sample:uri' : 'sample']));
}

function number(schema) {
  const low = schema.minimum ?? (schema.exclusiveMinimum ?? -1) + 1;
  const high = schema.maximum ?? (schema.exclusiveMaximum ?? low + 2) - 1;
  return Math.min(Math.max(low, 1), high);
}
