/* What a worker that was taken over can send to the control process: packets of any kind with any
 * values and descriptors, answers to what it is asked, and whatever it writes into its ring of
 * records. It runs the guests of one tenant alone, or of all. What is checked beside memory: each
 * question is answered; no answer to the worker of one tenant has what another keeps; what the
 * operator sees then is well formed; and the ledger goes on counting. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "control.h"
#include "control/api.h"
#include "control/dispatch.h"
#include "control/key.h"
#include "control/ledger.h"
#include "control/state.h"
#include "control/workers.h"
#include "input.h"
#include "platform/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define PACKETS_MAX 12
#define HEAD_BYTES 12 /* of a packet (channel.c); its flags: */
#define ANSWER 1U
#define ASIDE 2U
#define LAST_ID 0x7e57 /* of the question that ends an input */
#define WAIT_MS 10000  /* for an answer */
#define PACKET_MAX 65536

static struct ctl_server *server;
static struct input in;
static char secret[20];
static char operator_token[CTL_TOKEN_TEXT];

/* Two of them: of the tenant `beta` alone, and of all. */
static const char *const tenants[] = {"beta", ""};
static struct plat_ring *rings[2];

/* ---- Values ---- */

static const char *const words[] = {
    "beta",
    "alpha",
    "default",
    "a",
    "f",
    "get",
    "set",
    "cas",
    "delete",
    "list",
    "increment",
    "put",
    "socket",
    "connect",
    "bind",
    "listen",
    "send",
    "resolve",
    "GET",
    "POST",
    "http://127.0.0.1:1/",
    "https://a.example/",
    "*",
    "*:*",
    "127.0.0.1:*",
    "/",
    "/v1/usage",
    "1",
    "-1",
    "\xff",
    "select * from t",
    "create table t (a, b)",
    "insert into t values ($1, $2)",
    "drop table t",
    "attach '/etc/passwd' as x",
    "with recursive c(x) as (values (1) union all select x + 1 from c where x < 9) select x from c",
    "select zeroblob(1000)",
    "begin",
    "commit",
    "select 1; select 2",
    "pragma database_list",
    "vacuum into 'x'",
    "2: f at 0x2f3 (a.c:3 in f)\n3: g at 0x1 (b:)",
    "gas 12\nmemory x\n",
    "m.f 3 4\nn.g -1 99999999999999999999999\n",
    "request",
    "stderr",
    "application/json",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

static struct sv_str take_text(void)
{
    return take_word(&in, words, SV_COUNT(words));
}

static void put_text(struct plat_message *m, enum plat_tag tag)
{
    struct sv_str s = take_text();

    plat_put(m, tag, s.ptr, s.len);
}

/* Any bytes as a record, of a tenant that there is. */
static void take_record(struct plat_record *r, const char *tenant)
{
    struct sv_str s = take_text();

    memset(r, (int)take(&in, 1), sizeof *r);
    for (size_t i = 0; i < sizeof *r && s.len > 0; i++) {
        if (take(&in, 1) & 1)
            ((char *)r)[i] = s.ptr[i % s.len];
    }
    if (take(&in, 1) < 128)
        r->time_ns = sv_clock_wall_ns();
    if (take(&in, 1) < 200)
        snprintf(r->tenant, sizeof r->tenant, "%s", *tenant ? tenant : "default");
    if (take(&in, 1) < 200)
        snprintf(r->function, sizeof r->function, "f");
}

static void take_values(struct plat_message *m, const char *tenant)
{
    unsigned n = (unsigned)take(&in, 1) % 10;
    struct plat_record r;

    if (take(&in, 1) < 200)
        plat_put_str(m, PLAT_TAG_TENANT, *tenant ? tenant : "default");
    if (m->kind == PLAT_FAILURE) {
        take_record(&r, tenant);
        plat_put(m, PLAT_TAG_RECORD, &r, sizeof r);
    }
    for (unsigned i = 0; i < n; i++) {
        enum plat_tag tag = (enum plat_tag)(take(&in, 1) % (PLAT_TAG_END + 1));
        unsigned c = (unsigned)take(&in, 1);

        if (c < 60)
            plat_put_u64(m, tag, take(&in, c % 9));
        else
            put_text(m, tag);
    }
}

/* ---- Packets ---- */

static int take_fd(void)
{
    int fds[2] = {-1, -1};

    switch (take(&in, 1) % 6) {
    case 0:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case 1:
        return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    case 2:
        return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    case 3:
        return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    case 4:
        fuzz_check(pipe2(fds, O_CLOEXEC) == 0, "no pipe");
        close(fds[1]);
        return fds[0];
    default:
        return fuzz_memory(in.p, in.len < 64 ? in.len : 64);
    }
}

/* As it is, cut, with the values aside, or with values of another length than they say. */
static void send_packet(int fd, const struct plat_message *m, unsigned flags)
{
    unsigned char head[HEAD_BYTES];
    struct iovec parts[2] = {{head, sizeof head}, {m->values.data, m->values.len}};
    int fds[SV_FDS_MAX];
    unsigned nfds = 0, c = (unsigned)take(&in, 1);

    memcpy(head, &(uint16_t){(uint16_t)m->kind}, 2);
    memcpy(head + 4, &m->id, 8);
    for (unsigned i = 0; i < c % 4 && c > 150; i++)
        fds[nfds++] = take_fd();
    if (c < 20 || m->values.len > PACKET_MAX - HEAD_BYTES) {
        flags |= ASIDE;
        fds[nfds++] = fuzz_memory(m->values.data, m->values.len);
        parts[1].iov_len = 0;
    } else if (c < 30) {
        flags |= ASIDE;
    } else if (c < 40 && m->values.len > 0) {
        parts[1].iov_len = (size_t)take(&in, 1) % m->values.len;
    } else if (c < 44) {
        parts[0].iov_len = c % HEAD_BYTES;
        parts[1].iov_len = 0;
    }
    memcpy(head + 2, &(uint16_t){(uint16_t)flags}, 2);
    fuzz_check(sv_fds_send(fd, parts, 2, fds, nfds, MSG_NOSIGNAL) >= 0 || errno == EPIPE,
               "not sent");
    while (nfds > 0)
        close(fds[--nfds]);
}

static bool has(struct sv_str text, const char *what)
{
    return text.len > 0 && memmem(text.ptr, text.len, what, strlen(what)) != NULL;
}

/* Take what has come. True: the last answer is there. */
static bool hear(int fd, bool alone)
{
    static char packet[PACKET_MAX], aside[1 << 20];
    struct iovec part = {packet, sizeof packet};
    int fds[SV_FDS_MAX];
    unsigned nfds;
    ssize_t n;
    bool last = false;

    while ((n = sv_fds_receive(fd, &part, fds, SV_FDS_MAX, &nfds, MSG_DONTWAIT)) >= HEAD_BYTES) {
        uint64_t id;
        uint16_t flags;

        memcpy(&flags, packet + 2, 2);
        memcpy(&id, packet + 4, 8);
        last = last || (flags & ANSWER && id == LAST_ID);
        fuzz_check(!alone || !has((struct sv_str){packet, (size_t)n}, secret),
                   "a secret of another tenant");
        while (nfds > 0) {
            ssize_t more = pread(fds[--nfds], aside, sizeof aside, 0);

            fuzz_check(!alone || more <= 0 || !has((struct sv_str){aside, (size_t)more}, secret),
                       "a secret of another tenant in a file");
            close(fds[nfds]);
        }
    }
    return last;
}

/* The reader is a thread of its own; what it hands on is done here. */
static void converse(int fd, bool alone)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    struct plat_message m;
    uint64_t until = sv_clock_ns() + (uint64_t)WAIT_MS * 1000000;
    unsigned char head[HEAD_BYTES] = {PLAT_KV};
    struct iovec parts[2] = {{head, sizeof head}, {NULL, 0}};
    bool last = false;

    plat_message_init(&m, PLAT_KV);
    plat_put_str(&m, PLAT_TAG_TENANT, "beta");
    plat_put_str(&m, PLAT_TAG_OP, "get");
    plat_put_str(&m, PLAT_TAG_KEY, "a");
    parts[1] = (struct iovec){m.values.data, m.values.len};
    memcpy(head + 4, &(uint64_t){LAST_ID}, 8);
    fuzz_check(sv_fds_send(fd, parts, 2, NULL, 0, MSG_NOSIGNAL) >= 0, "not sent");
    plat_message_release(&m);
    while (!last) {
        last = hear(fd, alone);
        if (fuzz_control_run_one(server) || last)
            continue;
        poll(&ready, 1, 1);
        fuzz_check(sv_clock_ns() < until, "a question has no answer");
    }
}

static void say(int fd, const char *tenant)
{
    struct plat_message m;
    unsigned c;

    plat_message_init(&m, (enum plat_kind)(take(&in, 1) % (PLAT_KIND_COUNT + 1)));
    /* Each takes its time, or many. */
    if (m.kind == PLAT_FETCH || m.kind == PLAT_HELLO)
        m.kind = PLAT_KV;
    c = (unsigned)take(&in, 1);
    m.id = c < 20 ? 0 : c < 240 ? c : take(&in, 8);
    take_values(&m, tenant);
    if (has(plat_get(&m, PLAT_TAG_OP), "resolve")) /* a thread of its own, which waits */
        m.kind = PLAT_KV;
    send_packet(fd, &m, c > 230 ? (unsigned)take(&in, 2) & ~(ASIDE | ANSWER) : 0);
    plat_message_release(&m);
}

/* ---- The ring ---- */

/* A record as a worker writes it, and bytes as none would. */
static void scribble(unsigned which)
{
    struct plat_ring *ring = rings[which];
    unsigned n = (unsigned)take(&in, 1) % 4;
    struct plat_record r;

    for (unsigned i = 0; i < n; i++) {
        struct sv_str s = take_text();
        char name[80];

        take_record(&r, tenants[which]);
        snprintf(name, sizeof name, "%.*s", (int)(s.len < 70 ? s.len : 70), s.ptr);
        if (take(&in, 1) < 128)
            r.hosts[0] = (uint64_t)plat_ring_host(ring, name, (unsigned)take(&in, 4))
                             << PLAT_HOST_SHIFT |
                         take(&in, 6);
        (void)plat_ring_write(ring, &r, 0);
    }
    n = (unsigned)take(&in, 1);
    for (unsigned i = 0; n > 200 && i < n % 4; i++) {
        /* The head of it, the first places, or the names. */
        size_t at = take(&in, 1) & 1 ? take(&in, 2) : plat_ring_bytes() - 1 - take(&in, 2);
        uint64_t word = take(&in, 1 + take(&in, 1) % 8);

        if (at >= 24) /* looked at once, when control begins */
            memcpy((char *)ring + (at < plat_ring_bytes() - 8 ? at : 24), &word, sizeof word);
    }
}

/* ---- What the operator sees ---- */

static unsigned ask(const char *method, const char *path, const char *query,
                    struct plat_message *answer)
{
    struct plat_message m;
    struct sv_err err = {0};
    uint64_t status = 0;
    char fields[120];

    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", operator_token);
    plat_message_init(&m, PLAT_FORWARD);
    plat_message_init(answer, PLAT_FORWARD);
    plat_put_str(&m, PLAT_TAG_METHOD, method);
    plat_put_str(&m, PLAT_TAG_PATH, path);
    plat_put_str(&m, PLAT_TAG_QUERY, query);
    plat_put_str(&m, PLAT_TAG_FIELDS, fields);
    plat_put_str(&m, PLAT_TAG_PEER, "127.0.0.1");
    plat_put_str(&m, PLAT_TAG_REQUEST_ID, "0123456789abcdef");
    fuzz_check(ctl_api_forward(server, &err, &m, answer) == 0, err.text);
    fuzz_check(plat_get_u64(answer, PLAT_TAG_STATUS, &status), "no status");
    plat_message_release(&m);
    return (unsigned)status;
}

static void check_views(void)
{
    static const char *const views[][2] = {
        {"/v1/usage", "by=function&step=minute"},
        {"/v1/logs", "limit=20"},
        {"/v1/failures", ""},
        {"/v1/series", ""},
        {"/v1/usage", "format=csv"},
        {"/metrics", ""},
        {"/v1/tenants/beta/jobs", ""},
        {"/v1/tenants/beta/kv", ""},
        {"/v1/tenants/beta/functions/f/host-calls", ""},
    };
    const char *const *view = views[take(&in, 1) % SV_COUNT(views)];
    struct plat_message answer;
    struct sv_str body, type;
    json_error_t error;
    unsigned status;
    json_t *json;

    status = ask("GET", view[0], view[1], &answer);
    body = plat_get(&answer, PLAT_TAG_BODY);
    if (status != 200)
        fprintf(stderr, "fuzz: %u: %.*s\n", status, (int)body.len, body.ptr);
    fuzz_check(status == 200, view[0]);
    type = plat_get(&answer, PLAT_TAG_TEXT);
    fuzz_check(sv_utf8_valid(body.ptr, body.len), "a text that is none");
    if (sv_str_eq(type, sv_str_of("application/json"))) {
        /* Sums may be of more than 64 bits. */
        json =
            json_loadb(body.ptr, body.len,
                       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
        if (!json)
            fprintf(stderr, "fuzz: %s in %.*s\n", error.text, (int)body.len, body.ptr);
        fuzz_check(json != NULL, view[0]);
        json_decref(json);
    }
    plat_message_release(&answer);
}

/* ---- What the worker is asked ---- */

struct asked {
    int fd;
    unsigned flags;
    struct plat_message m; /* of the answer */
};

/* One question of control's, which waits for it. */
static void *answer_one(void *data)
{
    struct asked *a = data;
    char packet[PACKET_MAX];
    struct iovec part = {packet, sizeof packet};
    struct pollfd ready = {.fd = a->fd, .events = POLLIN};
    int fds[SV_FDS_MAX];
    uint16_t flags = ANSWER;
    unsigned nfds = 0;
    ssize_t n;

    while (poll(&ready, 1, WAIT_MS) == 1 &&
           (n = sv_fds_receive(a->fd, &part, fds, SV_FDS_MAX, &nfds, 0)) >= HEAD_BYTES) {
        while (nfds > 0)
            close(fds[--nfds]);
        memcpy(&flags, packet + 2, 2);
        if (flags & ANSWER) /* to a question of before */
            continue;
        memcpy(&a->m.id, packet + 4, 8);
        send_packet(a->fd, &a->m, a->flags | ANSWER);
        break;
    }
    shutdown(a->fd, SHUT_RDWR); /* whoever still waits does not any more */
    return NULL;
}

static bool is_field_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void check_fields(struct sv_str s)
{
    while (s.len > 0) {
        const char *end = memmem(s.ptr, s.len, "\r\n", 2), *p = s.ptr;

        fuzz_check(end != NULL, "a field without an end");
        while (is_field_char(*p))
            p++;
        fuzz_check(p > s.ptr && *p == ':', "a field without a name");
        for (; p < end; p++)
            fuzz_check(*p != '\r' && *p != '\n' && *p != '\0', "a field's value");
        s.len -= (size_t)(end + 2 - s.ptr);
        s.ptr = end + 2;
    }
}

/* The worker of one tenant is not asked to run anything without another's carrying it. */
static void be_asked(int fd, bool alone)
{
    bool live = alone || take(&in, 1) & 1;
    struct asked a = {.fd = fd};
    struct plat_message answer;
    pthread_t thread;
    unsigned status;

    plat_message_init(&a.m, live ? PLAT_ASK_STATUS : PLAT_ASK_INVOKE);
    if (take(&in, 1) < 200)
        plat_put_u64(&a.m, PLAT_TAG_STATUS, take(&in, 1) < 200 ? 200 : take(&in, 8));
    if (live && take(&in, 1) < 200)
        plat_put_str(&a.m, PLAT_TAG_BODY,
                     "{\"pid\":1,\"requests\":[{\"tenant\":\"alpha\"},7,{\"a\":[]}]}");
    if (take(&in, 1) < 100)
        plat_put_str(&a.m, PLAT_TAG_FIELDS, "Content-Type: a/b\r\nX: \r\n");
    else
        put_text(&a.m, PLAT_TAG_FIELDS);
    take_values(&a.m, "");
    fuzz_check(pthread_create(&thread, NULL, answer_one, &a) == 0, "no thread");
    status = live ? ask("GET", "/v1/live", "", &answer)
                  : ask("POST", "/v1/tenants/beta/functions/f/invoke", "", &answer);
    shutdown(fd, SHUT_RDWR); /* nothing more comes */
    pthread_join(thread, NULL);
    fuzz_check(live ? status == 200 : status >= 100 && status <= 599, "a status that is none");
    check_fields(plat_get(&answer, PLAT_TAG_FIELDS));
    plat_message_release(&answer);
    plat_message_release(&a.m);
}

/* ---- Begin ---- */

/* As the supervisor does when a worker has started. */
static int begin_worker(unsigned which)
{
    struct plat_message m;
    int fds[2];

    fuzz_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0, "no socket");
    plat_message_init(&m, PLAT_WORKER);
    plat_put_u64(&m, PLAT_TAG_NUMBER, which + 1);
    plat_put_str(&m, PLAT_TAG_TENANT, tenants[which]);
    plat_put_fd(&m, open("/dev/null", O_RDONLY | O_CLOEXEC)); /* its ring is there */
    plat_put_fd(&m, fds[0]);
    ctl_workers_set(server, &m);
    plat_message_release(&m);
    return fds[1];
}

static void put_secrets(void)
{
    struct plat_message m, ret;
    struct sv_err err = {0};
    char cell[24];

    plat_message_init(&m, PLAT_KV);
    plat_message_init(&ret, PLAT_KV);
    plat_put_str(&m, PLAT_TAG_TENANT, "alpha");
    plat_put_str(&m, PLAT_TAG_OP, "set");
    plat_put_str(&m, PLAT_TAG_KEY, "a");
    plat_put_str(&m, PLAT_TAG_VALUE, secret);
    fuzz_check(ctl_state_kv(server, &err, &m, &ret) == 0, err.text);
    plat_message_release(&m);
    plat_message_release(&ret);
    plat_message_init(&m, PLAT_SQL);
    plat_message_init(&ret, PLAT_SQL);
    plat_put_str(&m, PLAT_TAG_TENANT, "alpha");
    plat_put_str(&m, PLAT_TAG_TEXT, "create table t (a)");
    fuzz_check(ctl_state_sql(server, &err, &m, &ret) == 0, err.text);
    plat_message_release(&m);
    plat_message_release(&ret);
    plat_message_init(&m, PLAT_SQL);
    plat_message_init(&ret, PLAT_SQL);
    plat_put_str(&m, PLAT_TAG_TENANT, "alpha");
    plat_put_str(&m, PLAT_TAG_TEXT, "insert into t values ($1)");
    snprintf(cell, sizeof cell, "t%s", secret);
    plat_put_str(&m, PLAT_TAG_VALUE, cell);
    fuzz_check(ctl_state_sql(server, &err, &m, &ret) == 0, err.text);
    plat_message_release(&m);
    plat_message_release(&ret);
}

static void must(const char *method, const char *path, const char *body, unsigned want)
{
    struct plat_message m, answer;
    struct sv_err err = {0};
    char fields[120];
    uint64_t status = 0;

    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", operator_token);
    plat_message_init(&m, PLAT_FORWARD);
    plat_message_init(&answer, PLAT_FORWARD);
    plat_put_str(&m, PLAT_TAG_METHOD, method);
    plat_put_str(&m, PLAT_TAG_PATH, path);
    plat_put_str(&m, PLAT_TAG_FIELDS, fields);
    plat_put(&m, PLAT_TAG_BODY, body, body[0] ? strlen(body) : 8);
    fuzz_check(ctl_api_forward(server, &err, &m, &answer) == 0, err.text);
    plat_get_u64(&answer, PLAT_TAG_STATUS, &status);
    fuzz_check(status == want, path);
    plat_message_release(&m);
    plat_message_release(&answer);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint64_t random;
    int fd;

    (void)argc, (void)argv;
    fuzz_check(fuzz_no_network(),
               "no network of its own: run it as root, or allow user namespaces");
    server = fuzz_control_start();
    fuzz_check(ctl_random(NULL, &random, sizeof random) == 0, "no chance");
    snprintf(secret, sizeof secret, "s%016llx", (unsigned long long)random);
    fd = openat(server->data_fd, "admin-token", O_RDONLY);
    fuzz_check(read(fd, operator_token, CTL_TOKEN_TEXT - 1) == CTL_TOKEN_TEXT - 1, "no token");
    close(fd);
    must("POST", "/v1/tenants", "{\"name\":\"alpha\"}", 201);
    must("POST", "/v1/tenants", "{\"name\":\"beta\"}", 201);
    must("PUT", "/v1/tenants/beta/functions/f", "\0asm\1\0\0\0", 200);
    for (unsigned i = 0; i < SV_COUNT(rings); i++)
        rings[i] = fuzz_control_ring(server, i + 1);
    put_secrets();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv_err err = {0};
    unsigned which;
    int fd;

    in = (struct input){data, size};
    if (has((struct sv_str){(const char *)data, size}, secret))
        return -1; /* it was seen in our memory */
    which = take(&in, 1) & 1;
    fd = begin_worker(which);
    for (unsigned n = (unsigned)take(&in, 1) % PACKETS_MAX; n > 0; n--)
        say(fd, tenants[which]);
    converse(fd, which == 0);
    scribble(which);
    fuzz_check(ctl_ledger_drain(server, &err) == 0, err.text);
    fuzz_control_tick(server, (unsigned)take(&in, 1));
    check_views();
    if (take(&in, 1) < 110)
        be_asked(fd, which == 0);
    close(fd);
    fuzz_control_count();
    return 0;
}
