/* manifest.def as rows: for the reader (manifest.c) and the printers (manifest_print.c). */
#ifndef PLATFORM_MANIFEST_TABLE_H
#define PLATFORM_MANIFEST_TABLE_H

#include "platform/manifest.h"
#include "platform/yaml.h"

enum plat_section {
    PLAT_SECTION_top,
    PLAT_SECTION_route,
    PLAT_SECTION_grant,
    PLAT_SECTION_limit,
    PLAT_SECTION_trigger,
    PLAT_SECTION_cron,
    PLAT_SECTION_static,
    PLAT_SECTION_smoke,
    PLAT_SECTION_split,
    PLAT_SECTION_COUNT
};

enum plat_row_type {
    PLAT_ROW_TEXT,
    PLAT_ROW_NAME,
    PLAT_ROW_FILE,
    PLAT_ROW_CHOICE,
    PLAT_ROW_SWITCH,
    PLAT_ROW_COUNT, /* a number; how many types there are: PLAT_ROW_COUNT_OF */
    PLAT_ROW_BYTES,
    PLAT_ROW_MS,
    PLAT_ROW_TEXTS,
    PLAT_ROW_PAIRS,
    PLAT_ROW_MAP,
    PLAT_ROW_LIST,
    PLAT_ROW_COUNT_OF
};

struct plat_row {
    enum plat_section in, child;
    enum plat_row_type type;
    size_t at, count_at; /* in the section's structure */
    const char *key, *value, *doc;
};
extern const struct plat_row plat_rows[];
extern const unsigned plat_nrows;

/* What a section's structure is; where in it stands whether it was given, and its line; whether a
 * text stands for its first key. */
#define PLAT_NOWHERE SIZE_MAX
struct plat_section_info {
    size_t size, given_at, line_at;
    bool brief;
};
extern const struct plat_section_info plat_sections[PLAT_SECTION_COUNT];

#endif
