/* Messages: tagged values in a buffer. How they travel is channel.c's. */
#include "platform/message.h"

#include <stdlib.h>
#include <unistd.h>

#define VALUE_HEAD 6 /* u16 tag, u32 length */

static void put_le(unsigned char *to, uint64_t n, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (unsigned char)(n >> (8 * i));
}

static uint64_t get_le(const unsigned char *from, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)from[i] << (8 * i);
    return n;
}

void plat_message_init(struct plat_message *m, enum plat_kind kind)
{
    *m = (struct plat_message){.kind = kind};
    sv_buf_init(&m->values, PLAT_MESSAGE_MAX);
}

void plat_message_release(struct plat_message *m)
{
    for (unsigned i = 0; i < m->nfds; i++)
        close(m->fds[i]);
    sv_buf_release(&m->values);
    plat_message_init(m, PLAT_NONE);
}

void plat_put(struct plat_message *m, enum plat_tag tag, const void *bytes, size_t len)
{
    unsigned char head[VALUE_HEAD];

    if (len > PLAT_MESSAGE_MAX) {
        m->values.failed = true;
        return;
    }
    put_le(head, tag, 2);
    put_le(head + 2, len, 4);
    /* Both or none: a tag without its value would hide what follows. */
    if (sv_buf_reserve(&m->values, sizeof head + len)) {
        sv_buf_append(&m->values, head, sizeof head);
        sv_buf_append(&m->values, bytes, len);
    }
}

void plat_put_str(struct plat_message *m, enum plat_tag tag, const char *s)
{
    plat_put(m, tag, s, strlen(s));
}

void plat_put_u64(struct plat_message *m, enum plat_tag tag, uint64_t n)
{
    unsigned char bytes[8];

    put_le(bytes, n, 8);
    plat_put(m, tag, bytes, sizeof bytes);
}

bool plat_put_fd(struct plat_message *m, own int fd)
{
    if (m->nfds == PLAT_FDS_MAX) {
        close(fd);
        m->values.failed = true;
        return false;
    }
    m->fds[m->nfds++] = fd;
    return true;
}

/* The value at *at, which is moved behind it. False: there is none (more). */
static bool next_value(const struct plat_message *m, size_t *at, unsigned *tag, struct sv_str *ret)
{
    const unsigned char *p = m->values.data + *at;
    size_t left = m->values.len - *at, len;

    if (left < VALUE_HEAD)
        return false;
    len = get_le(p + 2, 4);
    if (len > left - VALUE_HEAD)
        return false;
    *tag = (unsigned)get_le(p, 2);
    *ret = (struct sv_str){(const char *)p + VALUE_HEAD, len};
    *at += VALUE_HEAD + len;
    return true;
}

bool plat_message_well_formed(const struct plat_message *m)
{
    struct sv_str ignored;
    unsigned tag;
    size_t at = 0;

    while (m->values.len > 0 && next_value(m, &at, &tag, &ignored)) {
    }
    return at == m->values.len;
}

struct sv_str plat_get_next(const struct plat_message *m, enum plat_tag tag, size_t *at)
{
    struct sv_str value;
    unsigned found;

    while (m->values.len > 0 && next_value(m, at, &found, &value)) {
        if (found == (unsigned)tag)
            return value;
    }
    return (struct sv_str){NULL, 0};
}

struct sv_str plat_get(const struct plat_message *m, enum plat_tag tag)
{
    return plat_get_next(m, tag, &(size_t){0});
}

bool plat_get_u64(const struct plat_message *m, enum plat_tag tag, uint64_t *ret)
{
    struct sv_str value = plat_get(m, tag);

    if (value.len != 8)
        return false;
    *ret = get_le((const unsigned char *)value.ptr, 8);
    return true;
}

bool plat_has(const struct plat_message *m, enum plat_tag tag)
{
    return plat_get(m, tag).ptr != NULL;
}

own char *plat_get_text(const struct plat_message *m, enum plat_tag tag)
{
    struct sv_str value = plat_get(m, tag);

    if (!value.ptr || memchr(value.ptr, '\0', value.len))
        return NULL;
    return sv_strndup(value.ptr, value.len);
}

void plat_put_error(struct plat_message *m, const struct sv_err *err)
{
    int code = err->code < 0 ? err->code : SV_EINTERNAL;

    sv_buf_clear(&m->values);
    plat_put_str(m, PLAT_TAG_ERROR, err->code < 0 ? err->text : "it failed without a reason");
    plat_put_u64(m, PLAT_TAG_NUMBER, (uint64_t)-(int64_t)code);
}

int plat_take_error(const struct plat_message *m, struct sv_err *err)
{
    struct sv_str text = plat_get(m, PLAT_TAG_ERROR);
    uint64_t code;

    if (!text.ptr)
        return 0;
    if (!plat_get_u64(m, PLAT_TAG_NUMBER, &code) || code == 0 || code > 1000)
        code = (uint64_t)-SV_EINTERNAL;
    return sv_fail(err, -(int)code, SV_NO_OFFSET, "%.*s",
                   (int)(text.len < SV_ERR_TEXT_MAX ? text.len : SV_ERR_TEXT_MAX - 1), text.ptr);
}
