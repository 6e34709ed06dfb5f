/* The small proxy of `ssvm dev`: one thread and one request for each connection. */
#include "client/front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_PORT 8000
#define HEAD_MAX ((size_t)64 << 10)
#define CONNECTIONS_MAX 256
#define PING_S 15
#define LIVE_PATH "/.ssvm/live"

struct cln_front {
    int listener;
    char url[64];
    unsigned port; /* of the server behind */
    atomic_uint connections;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t generation; /* of what is served */
    char *title, *error; /* NULL: all is well */
};

/* A connection of a browser, and the one that belongs to it. */
struct pair {
    struct cln_front *front;
    int client, server;
    struct sv_buf request, reply; /* heads, and what came with them */
};

/* ---- Bytes ---- */

static bool write_all(int fd, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* Read until the head of a message is whole; its length with the empty line, 0: it is none. */
static size_t read_head(int fd, struct sv_buf *buf)
{
    const char *end;

    for (;;) {
        ssize_t n;

        end = buf->len ? memmem(buf->data, buf->len, "\r\n\r\n", 4) : NULL;
        if (end)
            return (size_t)(end + 4 - (const char *)buf->data);
        if (buf->len >= HEAD_MAX || !sv_buf_reserve(buf, 4096))
            return 0;
        n = read(fd, buf->data + buf->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        buf->len += (size_t)n;
    }
}

/* The line of a field in a head of `len` bytes, with what stands behind the colon; NULL: none. */
static const char *find_field(const char *head, size_t len, const char *name, size_t *ret_len)
{
    const char *end = head + len, *line = memchr(head, '\n', len);
    size_t n = strlen(name);

    while (line && line + 1 < end) {
        const char *next;

        line++;
        next = memchr(line, '\n', (size_t)(end - line));

        if (next && (size_t)(next - line) > n && line[n] == ':' &&
            strncasecmp(line, name, n) == 0) {
            *ret_len = (size_t)(next - line) - n - 1;
            return line + n + 1;
        }
        line = next;
    }
    return NULL;
}

static bool field_has(const char *head, size_t len, const char *name, const char *word)
{
    size_t n, word_len = strlen(word);
    const char *value = find_field(head, len, name, &n);

    for (; value && n >= word_len; value++, n--) {
        if (strncasecmp(value, word, word_len) == 0)
            return true;
    }
    return false;
}

/* Append the head without the fields in `dropped`, and without its empty line. */
static void copy_head(struct sv_buf *to, const char *head, size_t len, const char *const *dropped)
{
    const char *end = head + len - 2;

    while (head < end) {
        const char *next = memchr(head, '\n', (size_t)(end - head));
        size_t n = next ? (size_t)(next + 1 - head) : (size_t)(end - head);
        bool drop = false;

        for (const char *const *name = dropped; *name; name++) {
            size_t name_len = strlen(*name);

            drop = drop || (n > name_len && head[name_len] == ':' &&
                            strncasecmp(head, *name, name_len) == 0);
        }
        if (!drop)
            sv_buf_append(to, head, n);
        head += n;
    }
}

/* ---- Pages ---- */

static void put_script(struct sv_buf *to, uint64_t generation)
{
    sv_buf_printf(to,
                  "\n<script>new EventSource(\"" LIVE_PATH
                  "\").onmessage=(m)=>{if(m.data!==\"%llu\")"
                  "location.reload()}</script>\n",
                  (unsigned long long)generation);
}

static void put_escaped(struct sv_buf *to, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '<')
            sv_buf_puts(to, "&lt;");
        else if (c == '>')
            sv_buf_puts(to, "&gt;");
        else if (c == '&')
            sv_buf_puts(to, "&amp;");
        else if (c == '"')
            sv_buf_puts(to, "&quot;");
        else if (c >= 0x20 || c == '\n' || c == '\t')
            sv_buf_putc(to, (char)c);
    }
}

static void answer_error(struct pair *pair, const char *title, const char *error,
                         uint64_t generation)
{
    struct sv_buf page, head;

    sv_buf_init(&page, 4U << 20);
    sv_buf_init(&head, 4096);
    sv_buf_puts(&page, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                       "<link rel=\"icon\" href=\"data:,\"><title>");
    put_escaped(&page, title);
    sv_buf_puts(&page, "</title><style>:root{color-scheme:light dark;font:1rem/1.5 system-ui}"
                       "body{max-width:60rem;margin:2rem auto;padding:0 1rem}h1{color:#c00}"
                       "pre{overflow:auto;padding:1rem;border:1px solid #8888;border-radius:.5rem}"
                       "</style><h1>");
    put_escaped(&page, title);
    sv_buf_puts(&page, "</h1><pre>");
    put_escaped(&page, error);
    sv_buf_puts(&page, "</pre><p>This page reloads itself when the next build is done; the version "
                       "before goes on answering calls.</p>");
    put_script(&page, generation);
    sv_buf_printf(&head,
                  "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=utf-8\r\n"
                  "Content-Length: %zu\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
                  page.len);
    if (!page.failed && write_all(pair->client, head.data, head.len))
        write_all(pair->client, page.data, page.len);
    sv_buf_release(&page);
    sv_buf_release(&head);
}

/* Server-sent events: the generation, whenever it is another; a comment now and then, to see
 * whether somebody is there. */
static void answer_live(struct pair *pair)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
        "Connection: close\r\n\r\n";
    struct cln_front *front = pair->front;
    uint64_t told = 0;
    bool ok = write_all(pair->client, head, sizeof head - 1);

    while (ok) {
        struct timespec until;
        char line[64];
        int n;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += PING_S;
        pthread_mutex_lock(&front->mutex);
        if (front->generation == told)
            pthread_cond_timedwait(&front->changed, &front->mutex, &until);
        n = front->generation == told ? snprintf(line, sizeof line, ":\n\n")
                                      : snprintf(line, sizeof line, "data: %llu\n\n",
                                                 (unsigned long long)front->generation);
        told = front->generation;
        pthread_mutex_unlock(&front->mutex);
        ok = write_all(pair->client, line, (size_t)n);
    }
}

/* ---- What goes through ---- */

static bool connect_server(struct pair *pair)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)pair->front->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    pair->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return pair->server >= 0 && connect(pair->server, (struct sockaddr *)&to, sizeof to) == 0;
}

/* As HTTP/1.0, so that the answer comes in one piece that ends with the connection; a body of
 * unknown length needs 1.1. */
static bool send_request(struct pair *pair, size_t head_len)
{
    static const char *const dropped[] = {
        "Connection",    "Keep-Alive",        "Accept-Encoding",  "Upgrade", "Expect",
        "If-None-Match", "If-Modified-Since", "Proxy-Connection", NULL};
    const char *head = (const char *)pair->request.data;
    const char *line_end = memchr(head, '\r', head_len);
    bool chunked = field_has(head, head_len, "Transfer-Encoding", "chunked"), ok;
    struct sv_buf out;

    if (!line_end || line_end - head < 9 || memcmp(line_end - 9, " HTTP/1.", 8) != 0)
        return false;
    sv_buf_init(&out, 2 * HEAD_MAX);
    copy_head(&out, head, head_len, dropped);
    if (out.failed)
        return false;
    out.data[line_end - head - 1] = chunked ? '1' : '0';
    sv_buf_puts(&out, "Connection: close\r\n\r\n");
    sv_buf_append(&out, head + head_len, pair->request.len - head_len);
    ok = !out.failed && write_all(pair->server, out.data, out.len);
    sv_buf_release(&out);
    return ok;
}

/* Pass bytes on both ways until the server has ended. */
static bool relay(struct pair *pair)
{
    struct pollfd fds[2] = {{.fd = pair->server, .events = POLLIN},
                            {.fd = pair->client, .events = POLLIN}};
    char buf[65536];

    for (;;) {
        ssize_t n;

        if (poll(fds, 2, -1) < 0) {
            if (errno != EINTR)
                return false;
            continue;
        }
        if (fds[1].revents) {
            n = read(pair->client, buf, sizeof buf);
            if (n < 0 || (n > 0 && !write_all(pair->server, buf, (size_t)n)))
                return false;
            if (n == 0)
                fds[1].fd = -1; /* it may still read */
        }
        if (fds[0].revents) {
            n = read(pair->server, buf, sizeof buf);
            if (n <= 0)
                return n == 0;
            if (!write_all(pair->client, buf, (size_t)n))
                return false;
        }
    }
}

/* While the answer's head is waited for, what is left of the request goes on its way. */
static size_t read_reply_head(struct pair *pair)
{
    struct pollfd fds[2] = {{.fd = pair->server, .events = POLLIN},
                            {.fd = pair->client, .events = POLLIN}};
    char buf[65536];

    for (;;) {
        ssize_t n;

        if (poll(fds, 2, -1) < 0) {
            if (errno != EINTR)
                return 0;
            continue;
        }
        if (fds[0].revents)
            return read_head(pair->server, &pair->reply);
        if (!fds[1].revents)
            continue;
        n = read(pair->client, buf, sizeof buf);
        if (n < 0 || (n > 0 && !write_all(pair->server, buf, (size_t)n)))
            return 0;
        if (n == 0)
            fds[1].fd = -1;
    }
}

static void pass_on(struct pair *pair, size_t head_len, uint64_t generation)
{
    static const char *const always[] = {"Connection", NULL};
    static const char *const of_pages[] = {
        "Connection",    "Content-Length", "ETag", "Last-Modified",
        "Cache-Control", "Accept-Ranges",  NULL};
    const char *request = (const char *)pair->request.data, *reply;
    size_t reply_len;
    struct sv_buf out;
    bool page;

    if (!connect_server(pair) || !send_request(pair, head_len))
        return;
    reply_len = read_reply_head(pair);
    if (reply_len == 0)
        return;
    reply = (const char *)pair->reply.data;
    page = strncmp(request, "GET ", 4) == 0 && reply_len > 12 &&
           memcmp(reply + 8, " 200", 4) == 0 &&
           field_has(reply, reply_len, "Content-Type", "text/html") &&
           !field_has(reply, reply_len, "Content-Encoding", "") &&
           !field_has(reply, reply_len, "Transfer-Encoding", "");
    sv_buf_init(&out, 4 * HEAD_MAX);
    copy_head(&out, reply, reply_len, page ? of_pages : always);
    if (page)
        sv_buf_puts(&out, "Cache-Control: no-store\r\n");
    sv_buf_puts(&out, "Connection: close\r\n\r\n");
    sv_buf_append(&out, reply + reply_len, pair->reply.len - reply_len);
    if (!out.failed && write_all(pair->client, out.data, out.len) && relay(pair) && page) {
        sv_buf_clear(&out);
        put_script(&out, generation);
        write_all(pair->client, out.data, out.len);
    }
    sv_buf_release(&out);
}

/* ---- Connections ---- */

static void answer(struct pair *pair)
{
    struct cln_front *front = pair->front;
    size_t head_len = read_head(pair->client, &pair->request);
    const char *head = (const char *)pair->request.data;
    char *title = NULL, *error = NULL;
    uint64_t generation;

    if (head_len == 0)
        return;
    if (strncmp(head, "GET " LIVE_PATH " ", 5 + strlen(LIVE_PATH)) == 0) {
        answer_live(pair);
        return;
    }
    pthread_mutex_lock(&front->mutex);
    generation = front->generation;
    if (front->error && strncmp(head, "GET ", 4) == 0 &&
        field_has(head, head_len, "Accept", "text/html")) {
        title = sv_strdup(front->title);
        error = sv_strdup(front->error);
    }
    pthread_mutex_unlock(&front->mutex);
    if (title && error)
        answer_error(pair, title, error, generation);
    else
        pass_on(pair, head_len, generation);
    sv_free(title);
    sv_free(error);
}

static void *run_pair(void *arg)
{
    struct pair *pair = arg;

    answer(pair);
    if (pair->server >= 0)
        close(pair->server);
    shutdown(pair->client, SHUT_WR);
    close(pair->client);
    sv_buf_release(&pair->request);
    sv_buf_release(&pair->reply);
    atomic_fetch_sub(&pair->front->connections, 1);
    sv_free(pair);
    return NULL;
}

static void start_pair(struct cln_front *front, int client)
{
    struct pair *pair = sv_alloc_zero(sizeof *pair);
    pthread_t thread;

    if (pair) {
        *pair = (struct pair){.front = front, .client = client, .server = -1};
        sv_buf_init(&pair->request, 2 * HEAD_MAX);
        sv_buf_init(&pair->reply, 2 * HEAD_MAX);
    }
    if (pair && atomic_fetch_add(&front->connections, 1) < CONNECTIONS_MAX &&
        pthread_create(&thread, NULL, run_pair, pair) == 0) {
        pthread_detach(thread);
        return;
    }
    if (pair)
        atomic_fetch_sub(&front->connections, 1);
    sv_free(pair);
    close(client);
}

static void *accept_all(void *arg)
{
    struct cln_front *front = arg;

    for (;;) {
        int client = accept4(front->listener, NULL, NULL, SOCK_CLOEXEC);

        if (client >= 0)
            start_pair(front, client);
        else if (errno != EINTR && errno != ECONNABORTED)
            poll(NULL, 0, 100); /* no descriptors: some will come back */
    }
    return NULL;
}

/* ---- The whole ---- */

static int listen_at(const char *address, unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd, error, one = 1;

    if (inet_pton(AF_INET, address, &at.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0)
        return fd;
    error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

/* 127.x.y.z:PORT; false: it is none. */
static bool read_address(const char *text, char *address, size_t size, unsigned *ret_port)
{
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 65536;
    struct in_addr parsed;

    if (!colon || !colon[1] || *end || port > 65535 || (size_t)(colon - text) >= size)
        return false;
    memcpy(address, text, (size_t)(colon - text));
    address[colon - text] = '\0';
    if (strcmp(address, "localhost") == 0)
        snprintf(address, size, "127.0.0.1");
    *ret_port = (unsigned)port;
    return inet_pton(AF_INET, address, &parsed) == 1 && ntohl(parsed.s_addr) >> 24 == 127;
}

own struct cln_front *cln_front_new(const char *listen)
{
    struct cln_front *front = sv_alloc_zero(sizeof *front);
    struct sockaddr_in bound = {0};
    socklen_t len = sizeof bound;
    char address[32] = "127.0.0.1";
    unsigned port = DEFAULT_PORT;

    if (!front) {
        cln_message("out of memory");
        return NULL;
    }
    if (listen && !read_address(listen, address, sizeof address, &port)) {
        cln_message("'%s' is no address of this machine such as 127.0.0.1:8000; what others shall "
                    "see is for 'ssvm serve'",
                    listen);
        sv_free(front);
        return NULL;
    }
    front->listener = listen_at(address, port);
    if (front->listener < 0 && !listen && errno == EADDRINUSE)
        front->listener = listen_at(address, 0);
    if (front->listener < 0 || getsockname(front->listener, (struct sockaddr *)&bound, &len) < 0) {
        cln_message("cannot listen at %s:%u: %s", address, port, strerror(errno));
        sv_free(front);
        return NULL;
    }
    snprintf(front->url, sizeof front->url, "http://%s:%u", address, ntohs(bound.sin_port));
    pthread_mutex_init(&front->mutex, NULL);
    pthread_cond_init(&front->changed, NULL);
    /* Another number than that of the run before, whose pages may still be open. */
    front->generation = (uint64_t)time(NULL) * 1000;
    return front;
}

const char *cln_front_url(const struct cln_front *front)
{
    return front->url;
}

bool cln_front_start(struct cln_front *front, unsigned port)
{
    pthread_t thread;
    int error;

    front->port = port;
    error = pthread_create(&thread, NULL, accept_all, front);
    if (error) {
        cln_message("cannot start a thread: %s", strerror(error));
        return false;
    }
    pthread_detach(thread);
    return true;
}

void cln_front_set(struct cln_front *front, const char *title, const char *error)
{
    char *new_title = error ? sv_strdup(title) : NULL, *new_error = error ? sv_strdup(error) : NULL;

    pthread_mutex_lock(&front->mutex);
    sv_free(front->title);
    sv_free(front->error);
    front->title = new_title;
    front->error = new_error;
    front->generation++;
    pthread_cond_broadcast(&front->changed);
    pthread_mutex_unlock(&front->mutex);
}
