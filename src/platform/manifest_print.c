/* A manifest as YAML, and its schema: both from the rows. */
#include <string.h>

#include "platform/manifest_table.h"
#include "platform/unit.h"

static enum plat_unit unit_of(enum plat_row_type type)
{
    return type == PLAT_ROW_BYTES ? PLAT_UNIT_BYTES
           : type == PLAT_ROW_MS  ? PLAT_UNIT_MS
                                  : PLAT_UNIT_COUNT;
}

/* ---- YAML ---- */

/* JSON's strings are YAML's. */
static void print_text(struct sv_buf *to, const char *text)
{
    sv_buf_json_string(to, text, strlen(text));
}

static void print_section(struct sv_buf *to, enum plat_section section, const char *base,
                          unsigned indent, const char *first);

static void print_texts(struct sv_buf *to, const struct plat_texts *texts)
{
    sv_buf_putc(to, '[');
    for (uint32_t i = 0; i < texts->n; i++) {
        sv_buf_puts(to, i ? ", " : "");
        print_text(to, texts->at[i]);
    }
    sv_buf_puts(to, "]");
}

static void print_list(struct sv_buf *to, const struct plat_row *row, const char *base,
                       unsigned indent)
{
    const char *at = *(char *const *)(base + row->at);
    uint32_t n = *(const uint32_t *)(base + row->count_at);

    sv_buf_puts(to, n ? "\n" : " []\n");
    for (uint32_t i = 0; i < n; i++)
        print_section(to, row->child, at + i * plat_sections[row->child].size, indent + 4, "- ");
}

static void print_value(struct sv_buf *to, const struct plat_row *row, const char *base,
                        unsigned indent)
{
    const char *at = base + row->at;

    switch (row->type) {
    case PLAT_ROW_MAP:
        sv_buf_puts(to, "\n");
        print_section(to, row->child, at, indent + 2, "");
        return;
    case PLAT_ROW_LIST:
        print_list(to, row, base, indent);
        return;
    case PLAT_ROW_TEXTS:
    case PLAT_ROW_PAIRS:
        sv_buf_putc(to, ' ');
        print_texts(to, (const struct plat_texts *)at);
        break;
    case PLAT_ROW_SWITCH:
        sv_buf_puts(to, *(const bool *)at ? " on" : " off");
        break;
    case PLAT_ROW_COUNT:
    case PLAT_ROW_BYTES:
    case PLAT_ROW_MS:
        sv_buf_putc(to, ' ');
        plat_unit_print(to, unit_of(row->type), *(const uint64_t *)at);
        break;
    default:
        sv_buf_putc(to, ' ');
        print_text(to, *(const char *const *)at);
    }
    sv_buf_putc(to, '\n');
}

/* `first` stands before the first key, in the last columns of the indentation. */
static void print_section(struct sv_buf *to, enum plat_section section, const char *base,
                          unsigned indent, const char *first)
{
    unsigned n = 0;

    for (unsigned i = 0; i < plat_nrows; i++) {
        const struct plat_row *row = &plat_rows[i];
        size_t given_at = plat_sections[row->child].given_at;

        if (row->in != section || (row->type == PLAT_ROW_MAP && given_at != PLAT_NOWHERE &&
                                   !*(const bool *)(base + row->at + given_at)))
            continue;
        sv_buf_printf(to, "%*s%s%s:", (int)(indent - (n == 0 ? strlen(first) : 0)), "",
                      n == 0 ? first : "", row->key);
        print_value(to, row, base, indent);
        n++;
    }
}

void plat_manifest_print(const struct plat_manifest *m, struct sv_buf *to)
{
    print_section(to, PLAT_SECTION_top, (const char *)m, 0, "");
}

/* ---- JSON Schema ---- */

static void schema_section(struct sv_buf *to, enum plat_section section);

static void schema_choices(struct sv_buf *to, const char *choices)
{
    sv_buf_puts(to, "\"enum\": [");
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");

        sv_buf_puts(to, p == choices ? "" : ", ");
        sv_buf_json_string(to, p, n);
        p += n + (p[n] == '|');
    }
    sv_buf_putc(to, ']');
}

/* A map, or a text that stands for its first key. */
static void schema_map(struct sv_buf *to, enum plat_section section)
{
    sv_buf_puts(to, "\"anyOf\": [{\"type\": \"string\"}, {");
    schema_section(to, section);
    sv_buf_puts(to, "}]");
}

static void schema_type(struct sv_buf *to, const struct plat_row *row)
{
    switch (row->type) {
    case PLAT_ROW_MAP:
        if (plat_sections[row->child].brief)
            schema_map(to, row->child);
        else
            schema_section(to, row->child);
        break;
    case PLAT_ROW_LIST:
        sv_buf_puts(to, "\"type\": \"array\", \"maxItems\": 256, \"items\": {");
        schema_map(to, row->child);
        sv_buf_puts(to, "}");
        break;
    case PLAT_ROW_TEXTS:
        sv_buf_puts(to, "\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": "
                        "{\"type\": \"string\"}}]");
        break;
    case PLAT_ROW_PAIRS:
        sv_buf_puts(to, "\"anyOf\": [{\"type\": \"object\", \"additionalProperties\": {\"type\": "
                        "[\"string\", \"number\", \"boolean\"]}}, {\"type\": \"array\", \"items\": "
                        "{\"type\": \"string\", \"pattern\": \"^[^=]+=\"}}]");
        break;
    case PLAT_ROW_CHOICE:
        schema_choices(to, row->value);
        break;
    case PLAT_ROW_SWITCH: /* on and off are booleans to some readers of YAML, texts to others */
        sv_buf_puts(to, "\"enum\": [true, false, \"on\", \"off\", \"yes\", \"no\"]");
        break;
    case PLAT_ROW_COUNT:
    case PLAT_ROW_BYTES:
    case PLAT_ROW_MS:
        sv_buf_printf(to,
                      "\"type\": [\"integer\", \"string\"], \"minimum\": 0, \"pattern\": \"%s\"",
                      plat_unit_pattern(unit_of(row->type)));
        break;
    case PLAT_ROW_NAME:
        sv_buf_printf(to,
                      "\"type\": \"string\", \"pattern\": \"^[A-Za-z0-9][A-Za-z0-9_-]*$\", "
                      "\"maxLength\": %d",
                      PLAT_NAME_MAX);
        break;
    default:
        sv_buf_puts(to, "\"type\": [\"string\", \"number\"]");
    }
}

static void schema_default(struct sv_buf *to, const struct plat_row *row)
{
    if (!row->value || !*row->value)
        return;
    sv_buf_puts(to, ", \"default\": ");
    if (row->type == PLAT_ROW_COUNT)
        sv_buf_puts(to, row->value);
    else
        sv_buf_json_string(to, row->value,
                           row->type == PLAT_ROW_CHOICE ? strcspn(row->value, "|")
                                                        : strlen(row->value));
}

static void schema_section(struct sv_buf *to, enum plat_section section)
{
    unsigned n = 0;

    sv_buf_puts(to, "\"type\": \"object\", \"additionalProperties\": false, \"properties\": {");
    for (unsigned i = 0; i < plat_nrows; i++) {
        if (plat_rows[i].in != section)
            continue;
        sv_buf_printf(to, "%s\"%s\": {\"description\": ", n++ ? ", " : "", plat_rows[i].key);
        print_text(to, plat_rows[i].doc);
        sv_buf_puts(to, ", ");
        schema_type(to, &plat_rows[i]);
        schema_default(to, &plat_rows[i]);
        sv_buf_puts(to, "}");
    }
    sv_buf_puts(to, "}, \"required\": [");
    n = 0;
    for (unsigned i = 0; i < plat_nrows; i++) {
        if (plat_rows[i].in == section && !plat_rows[i].value)
            sv_buf_printf(to, "%s\"%s\"", n++ ? ", " : "", plat_rows[i].key);
    }
    sv_buf_puts(to, "]");
}

void plat_manifest_schema(struct sv_buf *to)
{
    sv_buf_puts(to, "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"title\": "
                    "\"" PLAT_MANIFEST_FILE "\", ");
    schema_section(to, PLAT_SECTION_top);
    sv_buf_puts(to, "}\n");
}
