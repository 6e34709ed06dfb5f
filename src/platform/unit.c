/* Numbers with units. Knows no setting. */
#include "platform/unit.h"

#include <inttypes.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *suffix;
    enum plat_unit unit;
    uint64_t factor;
} suffixes[] = {
    {"", PLAT_UNIT_COUNT, 1}, {"", PLAT_UNIT_BYTES, 1}, {"K", PLAT_UNIT_BYTES, 1 << 10}, {"M", PLAT_UNIT_BYTES, 1 << 20},
    {"G", PLAT_UNIT_BYTES, 1 << 30}, {"KiB", PLAT_UNIT_BYTES, 1 << 10}, {"MiB", PLAT_UNIT_BYTES, 1 << 20},
    {"GiB", PLAT_UNIT_BYTES, 1 << 30}, {"", PLAT_UNIT_MS, 1}, {"ms", PLAT_UNIT_MS, 1}, {"s", PLAT_UNIT_MS, 1000},
    {"m", PLAT_UNIT_MS, 60000},
};
/* clang-format on */

bool plat_unit_read(const char *text, enum plat_unit unit, uint64_t *ret)
{
    uint64_t n = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    if (p == text)
        return false;
    for (size_t i = 0; i < SV_COUNT(suffixes); i++) {
        if (suffixes[i].unit != unit || strcmp(suffixes[i].suffix, p) != 0)
            continue;
        if (n > UINT64_MAX / suffixes[i].factor)
            return false;
        *ret = n * suffixes[i].factor;
        return true;
    }
    return false;
}

void plat_unit_print(struct sv_buf *to, enum plat_unit unit, uint64_t n)
{
    static const char *const names[] = {"", "K", "M", "G"};
    unsigned power = 0;

    if (unit == PLAT_UNIT_MS) {
        bool seconds = n % 1000 == 0 && n > 0;

        sv_buf_printf(to, "%" PRIu64 "%s", seconds ? n / 1000 : n, seconds ? "s" : "ms");
        return;
    }
    while (unit == PLAT_UNIT_BYTES && power < 3 && n > 0 && n % 1024 == 0) {
        n /= 1024;
        power++;
    }
    sv_buf_printf(to, "%" PRIu64 "%s", n, names[power]);
}

const char *plat_unit_pattern(enum plat_unit unit)
{
    static const char *const patterns[] = {[PLAT_UNIT_COUNT] = "^[0-9]+$",
                                           [PLAT_UNIT_BYTES] = "^[0-9]+([KMG](iB)?)?$",
                                           [PLAT_UNIT_MS] = "^[0-9]+(ms|s|m)?$"};

    return patterns[unit];
}
