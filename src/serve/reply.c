/* Replies: status, fields, body, and the bytes of their heads. Knows no connection. */
#include "serve/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERROR_TEXT_MAX 512 /* bytes of a message in an error reply */

/* clang-format off */
static const struct {
    int status;
    const char *text;
} statuses[] = {
    {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {206, "Partial Content"},
    {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"}, {304, "Not Modified"},
    {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
    {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
    {406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"}, {411, "Length Required"},
    {412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"}, {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"}, {417, "Expectation Failed"}, {418, "I'm a teapot"}, {422, "Unprocessable Content"},
    {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
    {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"}, {508, "Loop Detected"},
};
/* clang-format on */

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

const char *srv_status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].status == status)
            return statuses[i].text;
    }
    return "Unknown";
}

bool srv_reply_bodiless(int status)
{
    return status == 204 || status == 304;
}

/* ---- Formatting ---- */

size_t srv_format_u64(char *out, uint64_t n)
{
    char digits[20];
    size_t len = 0;

    do {
        digits[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    for (size_t i = 0; i < len; i++)
        out[i] = digits[len - 1 - i];
    return len;
}

size_t srv_format_json(char *out, const char *s, size_t len, bool utf8)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8)) {
            out[n++] = '\\';
            out[n++] = 'u';
            out[n++] = '0';
            out[n++] = '0';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    return n;
}

void srv_date_format(time_t t, char ret[32])
{
    struct tm tm;

    gmtime_r(&t, &tm);
    snprintf(ret, 32, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * tm.tm_wday,
             (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon,
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

static int two_digits(const char *s)
{
    if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
        return -1;
    return (s[0] - '0') * 10 + (s[1] - '0');
}

time_t srv_date_read(const char *s, size_t len)
{
    struct tm tm = {0};
    int century, year, month;
    time_t t;
    char again[32];

    if (len != 29 || memcmp(s + 25, " GMT", 4) != 0)
        return -1;
    for (month = 0; month < 12 && memcmp(months + (size_t)month * 3, s + 8, 3) != 0; month++)
        ;
    tm.tm_mday = two_digits(s + 5);
    tm.tm_mon = month;
    century = two_digits(s + 12);
    year = two_digits(s + 14);
    tm.tm_hour = two_digits(s + 17);
    tm.tm_min = two_digits(s + 20);
    tm.tm_sec = two_digits(s + 23);
    if (month == 12 || century < 0 || year < 0 || tm.tm_mday < 0 || tm.tm_hour < 0 ||
        tm.tm_min < 0 || tm.tm_sec < 0)
        return -1;
    tm.tm_year = century * 100 + year - 1900;
    t = timegm(&tm);
    srv_date_format(t, again);
    return memcmp(again, s, 29) == 0 ? t : -1;
}

/* ---- Replies ---- */

void srv_reply_init(struct srv_reply *reply)
{
    memset(reply, 0, offsetof(struct srv_reply, fields));
    reply->file = -1;
    reply->status = 200;
    reply->body = "";
}

void srv_reply_clear(struct srv_reply *reply)
{
    if (reply->held)
        reply->release(reply->held);
    if (reply->file >= 0)
        close(reply->file);
    srv_reply_init(reply);
}

void srv_reply_field(struct srv_reply *reply, const char *name, const char *value, size_t len)
{
    size_t nname = strlen(name);
    char *out = reply->fields + reply->nfields;

    if (nname + len + 4 > SRV_REPLY_FIELDS_MAX - reply->nfields) {
        reply->failed = true;
        return;
    }
    out = mempcpy(out, name, nname);
    *out++ = ':';
    *out++ = ' ';
    out = mempcpy(out, value, len);
    *out++ = '\r';
    *out = '\n';
    reply->nfields += (uint32_t)(nname + len + 4);
}

void srv_reply_line(struct srv_reply *reply, const char *line, size_t len)
{
    if (len > SRV_REPLY_FIELDS_MAX - reply->nfields) {
        reply->failed = true;
        return;
    }
    memcpy(reply->fields + reply->nfields, line, len);
    reply->nfields += (uint32_t)len;
}

void srv_reply_field_str(struct srv_reply *reply, const char *name, const char *value)
{
    srv_reply_field(reply, name, value, strlen(value));
}

void srv_reply_borrow(struct srv_reply *reply, const char *type, const char *body, size_t len)
{
    reply->type = type;
    reply->body = body;
    reply->len = len;
}

void srv_reply_hold(struct srv_reply *reply, const char *type, own char *body, size_t len,
                    void (*release)(own char *))
{
    srv_reply_borrow(reply, type, body, len);
    reply->held = body;
    reply->release = release;
}

static void free_text(own char *text)
{
    free(text);
}

void srv_reply_error(struct srv_reply *reply, int status, const char *code, const char *message,
                     const char *request_id)
{
    static const char no_memory[] = "{\"error\":{\"code\":\"out_of_memory\"}}\n";
    size_t len = strnlen(message, ERROR_TEXT_MAX),
           cap = 6 * len + strlen(code) + strlen(request_id) + 80;
    char *text;
    size_t n;

    srv_reply_clear(reply);
    reply->status = status;
    text = malloc(cap);
    if (!text) {
        srv_reply_borrow(reply, "application/json", no_memory, sizeof no_memory - 1);
        return;
    }
    n = (size_t)snprintf(text, cap, "{\"error\":{\"code\":\"%s\",\"message\":\"", code);
    n += srv_format_json(text + n, message, len, true);
    n += (size_t)snprintf(text + n, cap - n, "\",\"request_id\":\"%s\"}}\n", request_id);
    srv_reply_hold(reply, "application/json", text, n, free_text);
}

void srv_reply_error_text(struct srv_reply *reply, int status, const char *message)
{
    size_t len = strnlen(message, ERROR_TEXT_MAX), n;
    char *text = malloc(6 * len + 32);

    srv_reply_clear(reply);
    reply->status = status;
    if (!text) {
        srv_reply_borrow(reply, "application/json", "{\"error\":\"out of memory\"}\n", 26);
        return;
    }
    n = (size_t)(stpcpy(text, "{\"error\":\"") - text);
    n += srv_format_json(text + n, message, len, true);
    n += (size_t)(stpcpy(text + n, "\"}\n") - (text + n));
    srv_reply_hold(reply, "application/json", text, n, free_text);
}

static char *put(char *out, const char *s, size_t len)
{
    memcpy(out, s, len);
    return out + len;
}

#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

const char *srv_reply_date(struct srv_date *date, time_t now)
{
    if (date->second != now) {
        date->second = now;
        srv_date_format(now, date->text);
    }
    return date->text;
}

size_t srv_reply_head(const struct srv_reply *reply, struct srv_date *date, time_t now,
                      bool http_1_0, char *out)
{
    char *p = out;
    const char *text, *today = srv_reply_date(date, now);

    if (reply->status == 200) {
        p = PUT(p, "HTTP/1.1 200 OK\r\nServer: ssvm\r\nDate: ");
    } else {
        text = srv_status_text(reply->status);
        p = PUT(p, "HTTP/1.1 ");
        p += srv_format_u64(p, (uint64_t)reply->status);
        *p++ = ' ';
        p = put(p, text, strlen(text));
        p = PUT(p, "\r\nServer: ssvm\r\nDate: ");
    }
    p = put(p, today, 29);
    if (reply->type) {
        p = PUT(p, "\r\nContent-Type: ");
        p = put(p, reply->type, strlen(reply->type));
    }
    if (reply->unknown_len) {
        if (!http_1_0)
            p = PUT(p, "\r\nTransfer-Encoding: chunked");
    } else if (!srv_reply_bodiless(reply->status)) {
        p = PUT(p, "\r\nContent-Length: ");
        p += srv_format_u64(p, reply->len);
    }
    p = PUT(p, "\r\n");
    p = put(p, reply->fields, reply->nfields);
    if (reply->close)
        p = PUT(p, "Connection: close\r\n");
    else if (http_1_0)
        p = PUT(p, "Connection: keep-alive\r\n");
    p = PUT(p, "\r\n");
    return (size_t)(p - out);
}
