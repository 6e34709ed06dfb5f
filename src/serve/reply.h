/* What a request is answered with, and its head in bytes. Sends nothing. */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "ssvm.h"

#define SRV_REPLY_FIELDS_MAX 4096 /* bytes of further fields, a CGI program's for instance */
#define SRV_REPLY_HEAD_MAX (SRV_REPLY_FIELDS_MAX + 1024)

struct srv_reply {
    int status;
    const char *type; /* Content-Type; NULL = none or among the fields */
    const char *body; /* borrowed, or inside `held` */
    uint64_t len;     /* of the body, in memory or in the file */
    own char *held;   /* given to `release` when the reply is over; NULL = nothing */
    void (*release)(own char *);
    int file; /* a file to send `len` bytes of from `offset`; -1 = the body is in memory */
    int64_t offset;
    bool close;                        /* end the connection after it */
    bool unknown_len;                  /* the body comes from the request's stream */
    bool live;                         /* and is a stream of events */
    bool failed;                       /* a field did not fit */
    uint32_t nfields;                  /* bytes of fields */
    char fields[SRV_REPLY_FIELDS_MAX]; /* whole lines with CR LF */
};

/* The Date field's value, made once a second. */
struct srv_date {
    time_t second;
    char text[32];
};

void srv_reply_init(struct srv_reply *);
/* Releases body and file, and is ready for another reply. */
void srv_reply_clear(struct srv_reply *);
/* Append "name: value"; remembers in `failed` when it does not fit. */
void srv_reply_field(struct srv_reply *, const char *name, const char *value, size_t len);
void srv_reply_field_str(struct srv_reply *, const char *name, const char *value);
/* The same, of what stands in the program: "Name: value". */
#define SRV_REPLY_LINE(reply, literal)                                                             \
    srv_reply_line((reply), literal "\r\n", sizeof(literal "\r\n") - 1)
void srv_reply_line(struct srv_reply *, const char *line, size_t len);
/* A body that lives as long as the reply; one that the reply owns. */
void srv_reply_borrow(struct srv_reply *, const char *type, const char *body, size_t len);
void srv_reply_hold(struct srv_reply *, const char *type, own char *body, size_t len,
                    void (*release)(own char *));
/* An error as JSON: {"error":{"code","message","request_id"}}. */
void srv_reply_error(struct srv_reply *, int status, const char *code, const char *message,
                     const char *request_id);
/* As in 2020: {"error":"message"}. */
void srv_reply_error_text(struct srv_reply *, int status, const char *message);
/* Whether a reply of this status has no body and no Content-Length. */
bool srv_reply_bodiless(int status);

/* The Date field's value now, 29 bytes. */
const char *srv_reply_date(struct srv_date *, time_t now);

/* Write status line and fields, with the empty line: bytes written at `out` (room for
 * SRV_REPLY_HEAD_MAX). */
size_t srv_reply_head(const struct srv_reply *, struct srv_date *, time_t now, bool http_1_0,
                      char *out);
const char *srv_status_text(int status);
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void srv_date_format(time_t t, char ret[32]);
/* Seconds of such a date (that form only), or -1. */
time_t srv_date_read(const char *s, size_t len);

/* Decimal digits of n; their number. No terminator. */
size_t srv_format_u64(char *out, uint64_t n);
/* Append `s` as the inside of a JSON string to out (room for 6 * len). Bytes that are not ASCII are
 * kept when `utf8`, else escaped. */
size_t srv_format_json(char *out, const char *s, size_t len, bool utf8);

#endif
