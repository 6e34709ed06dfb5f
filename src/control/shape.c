/* Shapes of JSON: checking bodies, and showing them as JSON schemas. See shape.def. */
#include "control/shape.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"

#define REQUIRED true
#define OPTIONAL false
#define TYPE_MAX 64

struct field {
    const char *shape, *name, *type;
    bool required;
    const char *doc;
};

static const struct field fields[] = {
#define FIELD(shape, name, type, required, doc) {#shape, name, type, required, doc},
#include "control/shape.def"
#undef FIELD
#define LIMIT(field, name, unit, doc) {"Limits", name, "integer", OPTIONAL, doc " (" #unit ")"},
#include "platform/limit.def"
#undef LIMIT
};

/* Types that are words of a list. */
static const struct {
    const char *type;
    const char *words[6];
} lists[] = {
    {"scope", {"read", "invoke", "deploy", "state", "admin"}},
    {"jobstate", {"waiting", "running", "dead"}},
    {"level", {"debug", "info", "warn", "error"}},
    {"step", {"minute", "hour", "day", "all"}},
    {"by", {"tenant", "function"}},
    {"format", {"json", "csv"}},
    {"switch", {"on", "off"}},
    {"isolation", {"shared", "process"}},
};

/* Numbers from 0 on. */
static const struct {
    const char *type;
    int64_t most;
} ranges[] = {
    {"integer", INT64_MAX / 10},
    {"seconds", 3153600000},
    {"delay", 31622400000},
    {"attempts", 100},
    {"weight", 10000},
    {"port", 65535},
    {"page", 1000},
    {"lines", 2000},
    {"wait", 30},
    {"recent", 200},
};

#define NAME_PATTERN "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
#define DIGEST_PATTERN "^[0-9a-f]{64}$"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool ctl_name_is(struct sv_str s)
{
    if (s.len == 0 || s.len > CTL_NAME_MAX || !is_alnum(s.ptr[0]))
        return false;
    for (size_t i = 1; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '_')
            return false;
    }
    return true;
}

static const char *const *find_list(const char *type)
{
    for (size_t i = 0; i < SV_COUNT(lists); i++) {
        if (strcmp(lists[i].type, type) == 0)
            return lists[i].words;
    }
    return NULL;
}

static bool in_list(struct sv_str s, const char *const *words)
{
    for (; *words; words++) {
        if (sv_str_eq(s, sv_str_of(*words)))
            return true;
    }
    return false;
}

bool ctl_shape_exists(const char *name)
{
    for (size_t i = 0; i < SV_COUNT(fields); i++) {
        if (strcmp(fields[i].shape, name) == 0)
            return true;
    }
    return false;
}

/* The greatest number of a type; -1: it is none of numbers. */
static int64_t find_most(const char *type)
{
    for (size_t i = 0; i < SV_COUNT(ranges); i++) {
        if (strcmp(ranges[i].type, type) == 0)
            return ranges[i].most;
    }
    return -1;
}

static bool is_number_text(struct sv_str s, int64_t most)
{
    int64_t n = 0;

    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        n = n * 10 + (s.ptr[i] - '0');
    }
    return n <= most;
}

/* UTF-8, without NUL, of so many characters at most. */
static bool is_text(struct sv_str s)
{
    size_t characters = 0;

    for (size_t i = 0; i < s.len; i++)
        characters += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return characters <= CTL_TEXT_FIELD_MAX && sv_utf8_valid(s.ptr, s.len) &&
           !memchr(s.len ? s.ptr : "-", '\0', s.len);
}

bool ctl_shape_text_is(struct sv_str s, const char *type)
{
    const char *const *list = find_list(type);

    if (list)
        return in_list(s, list);
    if (strcmp(type, "name") == 0)
        return ctl_name_is(s);
    if (find_most(type) >= 0)
        return is_number_text(s, find_most(type));
    return is_text(s) && (strcmp(type, "text") != 0 || s.len > 0);
}

/* ---- Checking ---- */

struct marks {
    bool array, some, null;
    char type[TYPE_MAX];
};

/* Take the marks off a type: "[TYPE]", "[TYPE]+" and "TYPE?". */
static const char *read_marks(const char *type, struct marks *ret)
{
    size_t len = strlen(type);

    ret->null = type[len - 1] == '?';
    ret->some = type[len - 1] == '+';
    len -= ret->null || ret->some;
    ret->array = type[0] == '[';
    if (ret->array) {
        type++;
        len -= 2;
    }
    memcpy(ret->type, type, len);
    ret->type[len] = '\0';
    return ret->type;
}

static bool is_string(const json_t *value, const char *type)
{
    struct sv_str s = {json_string_value(value), json_string_length(value)};
    const char *const *list = find_list(type);

    if (list)
        return s.ptr && in_list(s, list);
    if (!s.ptr || !is_text(s))
        return false;
    if (strcmp(type, "name") == 0)
        return ctl_name_is(s);
    return strcmp(type, "text") != 0 || s.len > 0;
}

static bool is_plain(const json_t *value, const char *type)
{
    if (find_most(type) >= 0)
        return json_is_integer(value) && json_integer_value(value) >= 0 &&
               json_integer_value(value) <= find_most(type);
    if (strcmp(type, "number") == 0)
        return json_is_number(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    if (strcmp(type, "object") == 0)
        return json_is_object(value);
    return strcmp(type, "any") == 0 || is_string(value, type);
}

/* What a value of this type is, for people. */
static int wrong_type(struct sv_err *err, const char *name, const char *type)
{
    const char *const *list = find_list(type);
    struct sv_buf words;
    int r;

    sv_buf_init(&words, SV_ERR_TEXT_MAX);
    for (unsigned i = 0; list && list[i]; i++)
        sv_buf_printf(&words, "%s%s", i ? ", " : "", list[i]);
    if (list)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' is of %s", name, sv_buf_cstr(&words));
    else if (find_most(type) >= 0)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' is a whole number of 0 to %lld", name,
                    (long long)find_most(type));
    else
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' is not of type %s", name, type);
    sv_buf_release(&words);
    return r;
}

static int check_type(struct sv_err *err, const char *name, const char *marked, const json_t *value)
{
    struct marks marks;
    const char *type = read_marks(marked, &marks);
    size_t n = marks.array ? json_array_size(value) : 1;

    if (marks.null && json_is_null(value))
        return 0;
    if (marks.array && (!json_is_array(value) || n > CTL_ARRAY_MAX || (marks.some && n == 0)))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' must be an array of %d to %d items",
                       name, marks.some, CTL_ARRAY_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = marks.array ? json_array_get(value, i) : value;
        int r;

        if (!ctl_shape_exists(type)) {
            if (!is_plain(item, type))
                return wrong_type(err, name, type);
            continue;
        }
        r = ctl_shape_check(err, type, item);
        if (r < 0)
            return r;
    }
    return 0;
}

static const struct field *find_field(const char *shape, const char *name)
{
    for (size_t i = 0; i < SV_COUNT(fields); i++) {
        if (strcmp(fields[i].shape, shape) == 0 && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

int ctl_shape_check(struct sv_err *err, const char *shape, const json_t *value)
{
    const char *key;
    json_t *item;

    if (!json_is_object(value))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s must be a JSON object", shape);
    json_object_foreach((json_t *)value, key, item)
    {
        const struct field *field = find_field(shape, key);
        int r;

        if (!field)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s has no field '%.100s'", shape, key);
        r = check_type(err, key, field->type, item);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < SV_COUNT(fields); i++) {
        if (strcmp(fields[i].shape, shape) == 0 && fields[i].required &&
            !json_object_get(value, fields[i].name))
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the field '%s' is missing",
                           fields[i].name);
    }
    return 0;
}

/* ---- JSON schemas ---- */

static json_t *plain_schema(const char *type)
{
    const char *const *list = find_list(type);
    json_t *schema, *words;

    if (ctl_shape_exists(type))
        return json_pack("{s:s+}", "$ref", "#/components/schemas/", type);
    if (list) {
        words = json_array();
        for (; *list; list++)
            json_array_append_new(words, json_string(*list));
        return json_pack("{s:s,s:o}", "type", "string", "enum", words);
    }
    if (strcmp(type, "any") == 0)
        return json_object();
    if (find_most(type) >= 0)
        return json_pack("{s:s,s:i,s:I}", "type", "integer", "minimum", 0, "maximum",
                         (json_int_t)find_most(type));
    if (strcmp(type, "name") == 0)
        return json_pack("{s:s,s:s}", "type", "string", "pattern", NAME_PATTERN);
    if (strcmp(type, "digest") == 0)
        return json_pack("{s:s,s:s}", "type", "string", "pattern", DIGEST_PATTERN);
    if (strcmp(type, "time") == 0)
        return json_pack("{s:s,s:s}", "type", "string", "format", "date-time");
    schema = json_pack("{s:s}", "type", strcmp(type, "text") == 0 ? "string" : type);
    if (strcmp(type, "text") == 0)
        json_object_set_new(schema, "minLength", json_integer(1));
    if (strcmp(type, "text") == 0 || strcmp(type, "string") == 0)
        json_object_set_new(schema, "maxLength", json_integer(CTL_TEXT_FIELD_MAX));
    return schema;
}

own json_t *ctl_shape_type_new(const char *marked)
{
    struct marks marks;
    json_t *schema = plain_schema(read_marks(marked, &marks));

    if (marks.array)
        schema = json_pack("{s:s,s:o,s:i,s:i}", "type", "array", "items", schema, "minItems",
                           marks.some, "maxItems", CTL_ARRAY_MAX);
    if (marks.null)
        schema = json_pack("{s:[o,{s:s}]}", "anyOf", schema, "type", "null");
    return schema;
}

static void add_field(json_t *all, const struct field *field)
{
    json_t *shape = json_object_get(all, field->shape), *property, *required;

    if (!shape) {
        shape = json_pack("{s:s,s:{},s:[],s:b}", "type", "object", "properties", "required",
                          "additionalProperties", 0);
        json_object_set_new(all, field->shape, shape);
    }
    property = ctl_shape_type_new(field->type);
    if (property)
        json_object_set_new(property, "description", json_string(field->doc));
    json_object_set_new(json_object_get(shape, "properties"), field->name, property);
    required = json_object_get(shape, "required");
    if (field->required)
        json_array_append_new(required, json_string(field->name));
}

own json_t *ctl_shape_all_new(void)
{
    json_t *all = json_object();

    for (size_t i = 0; i < SV_COUNT(fields); i++)
        add_field(all, &fields[i]);
    return all;
}

/* ---- Values ---- */

own json_t *ctl_json_time(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[48];
    struct tm tm;
    size_t n;

    if (ms <= 0 || !gmtime_r(&seconds, &tm))
        return json_null();
    n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (ms % 1000)
        snprintf(text + n, sizeof text - n, ".%03dZ", (int)(ms % 1000));
    else
        snprintf(text + n, sizeof text - n, "Z");
    return json_string(text);
}

own json_t *ctl_json_str(struct sv_str s)
{
    struct sv_buf buf;
    json_t *json;

    if (s.len == 0)
        return json_string("");
    json = json_stringn(s.ptr, s.len); /* NULL when it is not UTF-8 */
    if (json)
        return json;
    sv_buf_init(&buf, SIZE_MAX);
    sv_buf_json_string(&buf, s.ptr, s.len);
    json = json_loadb((const char *)buf.data, buf.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    sv_buf_release(&buf);
    return json;
}

own json_t *ctl_json_text(const char *text)
{
    return text ? ctl_json_str(sv_str_of(text)) : json_null();
}

own json_t *ctl_json_hex(const void *bytes, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    char text[129];

    for (size_t i = 0; i < len && i < 64; i++) {
        text[2 * i] = hex[((const uint8_t *)bytes)[i] >> 4];
        text[2 * i + 1] = hex[((const uint8_t *)bytes)[i] & 15];
    }
    text[2 * (len < 64 ? len : 64)] = '\0';
    return json_string(text);
}
