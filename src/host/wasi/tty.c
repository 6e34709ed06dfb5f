/* What a guest prints on a terminal, made harmless: control characters (escape sequences begin with
 * one) and bytes that are not UTF-8 become U+FFFD; line feed, tab and carriage return stay. Not a
 * terminal emulator. */
#include "host/wasi/vfs.h"

static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};

/* Length of the sequence that begins with `lead`; 0 when none does. */
static unsigned sequence_len(uint8_t lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* May this complete, valid sequence reach the terminal? */
static bool harmless(const uint8_t *s, unsigned len)
{
    if (len == 1)
        return (s[0] >= 0x20 && s[0] != 0x7f) || s[0] == '\n' || s[0] == '\t' || s[0] == '\r';
    return !(len == 2 && s[0] == 0xc2 && s[1] < 0xa0); /* C1: U+0080 to U+009F */
}

/* Could `len` bytes be the beginning of a sequence? */
static bool continues(const uint8_t *s, unsigned len)
{
    unsigned i;

    for (i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return false;
    return len < 2 || !((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
                        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90));
}

size_t sv_vfs_tty_filter(struct sv_vfs_tty *t, const uint8_t *in, size_t len, uint8_t *out)
{
    uint8_t *to = out;
    size_t i = 0;

    while (i < len) {
        unsigned want;

        t->pending[t->npending++] = in[i++];
        want = sequence_len(t->pending[0]);
        if (want > 0 && !continues(t->pending, t->npending)) {
            /* The last byte does not belong: it begins anew. */
            i--;
            want = 0;
        }
        if (want > t->npending)
            continue;
        if (want > 0 && harmless(t->pending, want)) {
            memcpy(to, t->pending, want);
            to += want;
        } else {
            memcpy(to, replacement, sizeof replacement);
            to += sizeof replacement;
        }
        t->npending = 0;
    }
    return (size_t)(to - out);
}
