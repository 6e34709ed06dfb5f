/* Tables of costs in modules. What they mean is wasm/costs.c's. */
#include "wasm/costs.h"

#include "api/api.h"
#include "wasm/binary.h"

#define NAME_LEN (sizeof SV_COSTS_SECTION - 1)
#define HEAD (1 + 5 + 1 + NAME_LEN)
#define JOINED_MAX ((size_t)1 << 31)

own ssvm_error *ssvm_costs_append(const void *bytes, size_t len, const char *table,
                                  size_t table_len, own char **ret, size_t *ret_len)
{
    uint8_t head[HEAD] = {SV_SECTION_CUSTOM};
    size_t body = 1 + NAME_LEN + table_len;
    struct sv_buf buf;
    bool ok;

    if (!bytes || !table || !ret || !ret_len || table_len > SSVM_COSTS_MAX)
        return sv_api_error(SSVM_EUSAGE, "ssvm_costs_append needs a module, a table of at most "
                                         "1 MiB and a place for the result");
    for (int i = 0; i < 5; i++)
        head[1 + i] = (uint8_t)(body >> 7 * i & 0x7f) | (i < 4 ? 0x80 : 0);
    head[6] = NAME_LEN;
    memcpy(head + 7, SV_COSTS_SECTION, NAME_LEN);
    sv_buf_init(&buf, JOINED_MAX);
    ok = sv_buf_append(&buf, bytes, len) && sv_buf_append(&buf, head, HEAD) &&
         sv_buf_append(&buf, table, table_len);
    if (ok)
        *ret = sv_buf_take(&buf, ret_len);
    sv_buf_release(&buf);
    return ok && *ret ? NULL : sv_api_nomem();
}

bool ssvm_module_has_costs(const ssvm_module *m)
{
    return m && m->module->costs;
}
