/* libcurl under the guard: the URL is parsed once, by curl itself, and what it resolves to is
 * looked at where the socket is made, so that what was checked is what is connected to. Names are
 * resolved before: curl would wait for its resolver however late it is. */
#include "outbound/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "outbound/resolve.h"

#define NS_PER_MS 1000000
#define LINE_MAX_BYTES 16384
#define ADDRESSES_MAX 16 /* of one name that are tried */
#ifndef CURLU_PUNYCODE   /* before 7.88: such names are refused below */
#define CURLU_PUNYCODE 0
#endif

/* Fields that are the client's own to say. */
static const char *const own_fields[] = {
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
    "keep-alive",
    "expect",
    "trailer",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
};
/* Not for another server than the one that was asked. */
static const char *const private_fields[] = {"authorization", "cookie"};

struct fetch {
    struct sv_err *err;
    const struct out_rules *rules;
    const struct out_request *request;
    const struct out_sink *sink;
    CURLU *url;
    char host[OUT_HOST_MAX + 2], first_host[OUT_HOST_MAX + 2];
    uint16_t port, first_port, scheme_port;
    struct sv_str method, body; /* of this hop */
    size_t fields_len;
    int code; /* of sv_fail, that a callback left; 0 */
    long status;
    bool redirected; /* the body is nobody's */
    char location[LINE_MAX_BYTES];
    size_t sent;
};

int out_init(struct sv_err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "libcurl cannot be used");
    return 0;
}

static bool is_one_of(const char *name, size_t len, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) == len && strncasecmp(names[i], name, len) == 0)
            return true;
    return false;
}

static int too_late(const struct fetch *f)
{
    return sv_fail(f->err, SV_EEXIT, SV_NO_OFFSET, "'%s' took too long", f->host);
}

/* ---- Where to ---- */

static bool host_allowed(const struct fetch *f)
{
    for (size_t i = 0; i < f->rules->nhosts; i++)
        if (out_rule_allows(&f->rules->hosts[i], f->host, f->port, f->scheme_port))
            return true;
    return false;
}

/* Host and port of the URL, checked against the rules. */
static int look_at_url(struct fetch *f)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    const char *p;
    size_t len;
    int r = SV_EUSAGE;

    if (curl_url_get(f->url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        sv_fail(f->err, r, SV_NO_OFFSET, "the URL is neither http nor https");
        goto fail;
    }
    if (curl_url_get(f->url, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        sv_fail(f->err, r, SV_NO_OFFSET, "the URL has a user's name: send a field");
        goto fail;
    }
    if (curl_url_get(f->url, CURLUPART_HOST, &host, CURLU_PUNYCODE) != CURLUE_OK ||
        curl_url_get(f->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        sv_fail(f->err, r, SV_NO_OFFSET, "the URL has no host");
        goto fail;
    }
    p = host;
    len = strlen(p);
    if (len > 1 && p[0] == '[' && p[len - 1] == ']') {
        p++;
        len -= 2;
    }
    while (len > 1 && p[len - 1] == '.')
        len--;
    if (len > OUT_HOST_MAX || memchr(p, '%', len)) {
        sv_fail(f->err, r, SV_NO_OFFSET, "the URL's host is too long, or has a zone");
        goto fail;
    }
    for (size_t i = 0; i < len; i++) {
        if (p[i] & 0x80) {
            sv_fail(f->err, r, SV_NO_OFFSET, "the URL's host is not ASCII: write it as xn--...");
            goto fail;
        }
        f->host[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 'a' - 'A' : p[i]);
    }
    f->host[len] = '\0';
    f->port = (uint16_t)strtoul(port, NULL, 10);
    f->scheme_port = strcmp(scheme, "https") == 0 ? 443 : 80;
    r = 0;
    if (!host_allowed(f))
        r = sv_fail(f->err, SV_EINVALID, SV_NO_OFFSET, "'%s:%u' was not granted", f->host, f->port);
fail:
    curl_free(scheme);
    curl_free(user);
    curl_free(host);
    curl_free(port);
    return r;
}

static bool address_allowed(const struct fetch *f, const struct sockaddr *sa)
{
    if (!out_address_private(sa))
        return true;
    for (size_t i = 0; i < f->rules->nprivate; i++)
        if (out_rule_names(&f->rules->private[i], sa, f->scheme_port))
            return true;
    return false;
}

/* ---- Names ---- */

static bool is_over(const struct out_request *r)
{
    return sv_clock_ns() >= r->deadline_ns || (r->stopped && r->stopped(r->data));
}

static int no_name(const struct fetch *f, int code)
{
    if (code == -ETIMEDOUT)
        return too_late(f);
    if (code == -EAGAIN)
        return sv_fail(f->err, SV_EIO, SV_NO_OFFSET, "'%s': its name cannot be looked up now",
                       f->host);
    return sv_fail(f->err, SV_EIO, SV_NO_OFFSET, "'%s': %s", f->host,
                   curl_easy_strerror(CURLE_COULDNT_RESOLVE_HOST));
}

/* What curl is to take for the name's addresses, "HOST:PORT:ADDRESS,..."; nothing for a number. */
static int resolve(struct fetch *f, struct curl_slist **ret)
{
    const struct out_wait wait = {.deadline_ns = f->request->deadline_ns,
                                  .stopped = f->request->stopped,
                                  .arg = f->request->data,
                                  .asker = f->request->asker};
    const struct out_query query = {.node = f->host, .family = AF_UNSPEC};
    struct sockaddr_storage found[ADDRESSES_MAX];
    char line[sizeof f->host + (ADDRESSES_MAX + 1) * INET6_ADDRSTRLEN];
    uint8_t number[16];
    size_t at;
    int n;

    if (inet_pton(AF_INET, f->host, number) == 1 || inet_pton(AF_INET6, f->host, number) == 1)
        return 0;
    n = out_resolve(&wait, &query, found, ADDRESSES_MAX);
    if (n < 0)
        return no_name(f, n);
    /* As the entry has it: without capitals, or a dot at its end. */
    if (curl_url_set(f->url, CURLUPART_HOST, f->host, 0) != CURLUE_OK)
        return sv_fail_nomem(f->err, "request");
    at = (size_t)snprintf(line, sizeof line, "%s:%u:", f->host, f->port);
    for (int i = 0; i < n; i++) {
        const void *bytes = found[i].ss_family == AF_INET6
                                ? (const void *)&((struct sockaddr_in6 *)&found[i])->sin6_addr
                                : (const void *)&((struct sockaddr_in *)&found[i])->sin_addr;

        if (i > 0)
            line[at++] = ',';
        if (inet_ntop(found[i].ss_family, bytes, line + at, (socklen_t)(sizeof line - at)))
            at += strlen(line + at);
    }
    *ret = curl_slist_append(NULL, line);
    return *ret ? 0 : sv_fail_nomem(f->err, "request");
}

/* The address is the one that will be connected to: nobody resolves again behind it. */
static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch *f = data;

    if (purpose != CURLSOCKTYPE_IPCXN || !address_allowed(f, &address->addr)) {
        f->code =
            sv_fail(f->err, SV_EINVALID, SV_NO_OFFSET,
                    "'%s' has an address of a private network, which was not granted: name it, or "
                    "its network, in allow-http and in the server's allow-private",
                    f->host);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- What comes back ---- */

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static size_t take_field(char *bytes, size_t size, size_t n, void *data)
{
    struct fetch *f = data;
    struct sv_str line = {bytes, size * n};

    f->fields_len += line.len;
    if (f->fields_len > OUT_FIELDS_MAX) {
        f->code = sv_fail(f->err, SV_ELIMIT, SV_NO_OFFSET, "the reply's fields are too large");
        return 0;
    }
    if (line.len >= 5 && memcmp(line.ptr, "HTTP/", 5) == 0) {
        const char *space = memchr(line.ptr, ' ', line.len);

        f->status = space && space + 4 <= line.ptr + line.len ? strtol(space, NULL, 10) : 0;
        f->location[0] = '\0';
        return line.len;
    }
    if (f->status < 200 || line.len < 4 || memcmp(line.ptr + line.len - 2, "\r\n", 2) != 0)
        return line.len; /* of `100 Continue`, the end, or not HTTP */
    if (line.len > 9 && strncasecmp(line.ptr, "location:", 9) == 0) {
        size_t at = 9, end = line.len - 2;

        while (at < end && (line.ptr[at] == ' ' || line.ptr[at] == '\t'))
            at++;
        if (end - at < sizeof f->location) {
            memcpy(f->location, line.ptr + at, end - at);
            f->location[end - at] = '\0';
        }
    }
    if (!is_redirect(f->status) && !f->sink->field(f->sink->data, line)) {
        f->code = sv_fail(f->err, SV_ELIMIT, SV_NO_OFFSET, "the reply's fields are too large");
        return 0;
    }
    return line.len;
}

static size_t take_body(char *bytes, size_t size, size_t n, void *data)
{
    struct fetch *f = data;

    f->redirected = is_redirect(f->status);
    if (!f->redirected && !f->sink->body(f->sink->data, bytes, size * n)) {
        f->code = sv_fail(f->err, SV_ELIMIT, SV_NO_OFFSET, "the reply's body is too large");
        return 0;
    }
    return size * n;
}

static size_t give_body(char *to, size_t size, size_t n, void *data)
{
    struct fetch *f = data;
    size_t len = f->body.len - f->sent;

    if (len > size * n)
        len = size * n;
    memcpy(to, f->body.ptr + f->sent, len);
    f->sent += len;
    return len;
}

static int progress(void *data, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct fetch *f = data;

    (void)a, (void)b, (void)c, (void)d;
    return is_over(f->request);
}

/* ---- One hop ---- */

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);

    if (more)
        *list = more;
    return more != NULL;
}

/* The guest's fields, without those that are ours. */
static bool make_fields(const struct fetch *f, struct curl_slist **ret)
{
    bool elsewhere = strcmp(f->host, f->first_host) != 0 || f->port != f->first_port;
    const char *p = f->request->fields.ptr, *end = p + f->request->fields.len;
    bool typed = false;

    while (p < end) {
        const char *stop = memchr(p, '\r', (size_t)(end - p));
        const char *colon = memchr(p, ':', (size_t)(end - p));
        char line[LINE_MAX_BYTES];
        size_t name;

        if (!stop || !colon || colon > stop || stop - p >= (ptrdiff_t)sizeof line)
            return false;
        name = (size_t)(colon - p);
        snprintf(line, sizeof line, "%.*s", (int)(stop - p), p);
        /* curl takes a name without a value as "leave it out", and `;` as "empty". */
        if (line[strspn(colon + 1, " \t") + name + 1] == '\0')
            snprintf(line, sizeof line, "%.*s;", (int)name, p);
        typed = typed || is_one_of(p, name, (const char *const[]){"content-type"}, 1);
        if (!is_one_of(p, name, own_fields, SV_COUNT(own_fields)) &&
            !(elsewhere && is_one_of(p, name, private_fields, SV_COUNT(private_fields))) &&
            !add_line(ret, line))
            return false;
        p = stop + 2;
    }
    return (typed || add_line(ret, "Content-Type:")) && add_line(ret, "Expect:");
}

static long left_ms(const struct out_request *r)
{
    uint64_t now = sv_clock_ns(), ms;

    if (now >= r->deadline_ns)
        return 0;
    ms = (r->deadline_ns - now) / NS_PER_MS + 1;
    return ms < OUT_TIME_MAX_MS ? (long)ms : OUT_TIME_MAX_MS;
}

static void set_options(CURL *curl, struct fetch *f, struct curl_slist *fields, const char *method)
{
    curl_easy_setopt(curl, CURLOPT_CURLU, f->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (f->request->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, f->request->ca_file);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left_ms(f->request));
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, f);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_field);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, f);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (f->body.len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, f);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body.len);
    }
    if (strcmp(method, "HEAD") != 0)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static int hop(struct fetch *f)
{
    struct curl_slist *fields = NULL, *addresses = NULL;
    CURL *curl = curl_easy_init();
    char method[32];
    CURLcode code;
    int r = 0;

    f->code = 0;
    f->sent = f->fields_len = 0;
    f->status = 0;
    snprintf(method, sizeof method, "%.*s", (int)f->method.len, f->method.ptr);
    if (!curl || !make_fields(f, &fields)) {
        r = sv_fail(f->err, SV_EUSAGE, SV_NO_OFFSET, "the request's fields are no fields");
        goto fail;
    }
    r = resolve(f, &addresses);
    if (r < 0)
        goto fail;
    set_options(curl, f, fields, method);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, addresses);
    code = left_ms(f->request) > 0 ? curl_easy_perform(curl) : CURLE_OPERATION_TIMEDOUT;
    if (f->code != 0)
        r = f->code;
    else if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_ABORTED_BY_CALLBACK)
        r = too_late(f);
    else if (code != CURLE_OK)
        r = sv_fail(f->err, SV_EIO, SV_NO_OFFSET, "'%s': %s", f->host, curl_easy_strerror(code));
fail:
    if (curl)
        curl_easy_cleanup(curl);
    curl_slist_free_all(fields);
    curl_slist_free_all(addresses);
    return r;
}

/* Where a redirection leads; what is asked for there. */
static int turn(struct fetch *f)
{
    static const struct sv_str get = {"GET", 3};
    bool head = f->method.len == 4 && memcmp(f->method.ptr, "HEAD", 4) == 0;
    bool post = f->method.len == 4 && memcmp(f->method.ptr, "POST", 4) == 0;

    if (curl_url_set(f->url, CURLUPART_URL, f->location, 0) != CURLUE_OK)
        return sv_fail(f->err, SV_EIO, SV_NO_OFFSET, "'%s' redirects to what is no URL", f->host);
    if ((f->status == 303 && !head) || (f->status < 303 && post)) {
        f->method = get;
        f->body = (struct sv_str){NULL, 0};
    }
    return 0;
}

int out_fetch(struct sv_err *err, const struct out_rules *rules, const struct out_request *request,
              const struct out_sink *sink, int *ret_status)
{
    struct fetch f = {.err = err, .rules = rules, .request = request, .sink = sink};
    char *url = sv_strndup(request->url.ptr, request->url.len);
    int r = 0;

    f.url = curl_url();
    f.method = request->method;
    f.body = request->body;
    if (!url || !f.url)
        r = sv_fail_nomem(err, "request");
    else if (strlen(url) != request->url.len ||
             curl_url_set(f.url, CURLUPART_URL, url, 0) != CURLUE_OK)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the URL is none");
    for (unsigned hops = 0; r == 0; hops++) {
        r = look_at_url(&f);
        if (hops == 0) {
            memcpy(f.first_host, f.host, sizeof f.host);
            f.first_port = f.port;
        }
        if (r == 0)
            r = hop(&f);
        if (r != 0 || !is_redirect(f.status) || !f.location[0])
            break;
        if (hops == OUT_REDIRECTS_MAX)
            r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "'%s' redirects again and again", f.host);
        else
            r = turn(&f);
    }
    if (r == 0)
        *ret_status = (int)f.status;
    curl_url_cleanup(f.url);
    sv_free(url);
    return r;
}
