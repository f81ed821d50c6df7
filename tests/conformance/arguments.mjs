// Arguments that a tool's schema takes, and answers that a form takes.

const BY_TYPE = { string: 'word', number: 2, integer: 2, boolean: true, array: [], object: {}, null: null };

/** A value for every field of an object's schema: its default, its first choice, or one of its type. */
export function fill(schema) {
    const fields = Object.entries(schema?.properties ?? {});
    return Object.fromEntries(
        fields.map(([name, field]) => [name, field.default ?? field.enum?.[0] ?? BY_TYPE[field.type] ?? 'word']),
    );
}

/** The schema that one scenario wants to have back is the other tool's. */
export function argumentsFor(tool, tools) {
    if (tool.name !== 'json_schema_echo') return fill(tool.inputSchema);
    return { schema: tools.find((other) => other !== tool)?.inputSchema };
}
