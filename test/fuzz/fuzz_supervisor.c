/* What workers that were taken over can say to the supervisor: packets of any kind with any values
 * and descriptors, while other workers come and go, control changes the list of tenants, and
 * compilers and libraries end. No process is started: whoever would be is a number that no process
 * has. What is checked beside memory: what is started is of a tenant that control has named, and of
 * a backend of the settings; nobody has more than his part; each question is answered, once; and
 * when all are gone no descriptor is left. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "input.h"
#include "serve/config.h"

static int quiet(FILE *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* All of it, for it has no other door; it tells of each end. */
#define fprintf quiet
#include "serve/supervise.c"
#undef fprintf

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define STEPS_MAX 24
#define HEAD_BYTES 12 /* of a packet (channel.c); its flags: */
#define ANSWER 1U
#define ASIDE 2U
#define PACKET_MAX 65536
#define ISOLATED_MAX 3       /* tenants with a process, at once */
#define PLACES 5             /* two workers, and three for more tenants than that, in turn */
#define COMPILES_EACH 8      /* supervise_compile.c */
#define LIBRARIES_EACH 32    /* supervise_library.c */
#define FIRST_PID 0x40000000 /* above all that Linux gives */
#define PEERS_MAX 64
#define FAILED (1 << 8) /* a status: it ended with 1 */

static struct srv_supervisor supervisor;
static struct input in;
static char folder[] = "/tmp/ssvm-fuzz-XXXXXX";
static pid_t next_pid, owner;

/* Our ends of the channels of the workers that there are. */
static struct peer {
    pid_t pid; /* 0: nobody */
    int fd;
    int asked; /* questions without an answer */
} peers[PEERS_MAX];

static int quiet(FILE *to, const char *fmt, ...)
{
    (void)to;
    (void)fmt;
    return 0;
}

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* ---- What is not there ---- */

uint64_t srv_clock_ns(void)
{
    return sv_clock_ns();
}

bool srv_listen_open(struct srv_server *server)
{
    (void)server;
    return false;
}

bool srv_worker_open_root(struct srv_server *server)
{
    (void)server;
    return false;
}

bool srv_data_open(struct srv_server *server, const struct srv_user *user, bool has_control)
{
    (void)server;
    (void)user;
    (void)has_control;
    return false;
}

void srv_priority_allow(void)
{
}

/* The linker puts these in the place of process.c's. */
pid_t __wrap_srv_process_start(const struct srv_process *, const struct srv_user *);
pid_t __wrap_srv_process_compile(const char *program, const struct srv_user *, const char *cache,
                                 const char *form, const char *loop, const int fds[3]);
pid_t __wrap_srv_process_library(const char *program, const struct srv_user *, const char *plugin,
                                 const char *library, const char *device, const char *folder,
                                 int end);
bool __wrap_srv_process_find(const char *name, char *path, size_t size);

static bool is_named(const char *tenant)
{
    struct sv_str one;
    size_t at = 0;

    while ((one = plat_get_next(&supervisor.isolated, PLAT_TAG_TENANT, &at)).ptr) {
        if (sv_str_eq(one, sv_str_of(tenant)))
            return true;
    }
    return false;
}

static pid_t new_process(void)
{
    if (take(&in, 1) > 240) { /* the system may have none */
        errno = EAGAIN;
        return -1;
    }
    return next_pid++;
}

pid_t __wrap_srv_process_start(const struct srv_process *p, const struct srv_user *user)
{
    pid_t pid = new_process();
    unsigned i = 0;

    (void)user;
    for (unsigned a = 0; a < p->nargs; a++) {
        if (strncmp(p->args[a], "--role=isolated:", 16) == 0)
            check(is_named(strrchr(p->args[a], ':') + 1), "a process of a tenant that has none");
    }
    while (i < PEERS_MAX && peers[i].pid)
        i++;
    if (pid > 0) {
        check(i < PEERS_MAX && p->nfds > 0 && !p->failed, "a worker without a channel");
        peers[i] = (struct peer){.pid = pid, .fd = fcntl(p->fds[0], F_DUPFD_CLOEXEC, 0)};
    }
    return pid;
}

pid_t __wrap_srv_process_compile(const char *program, const struct srv_user *user,
                                 const char *cache, const char *form, const char *loop,
                                 const int fds[3])
{
    (void)program;
    (void)user;
    check(!cache || strncmp(cache, folder, strlen(folder)) == 0, "a cache elsewhere");
    check(strspn(form, "0123456789") == strlen(form), "a form that is no number");
    check(strspn(loop, "0123456789:") == strlen(loop), "a loop that is no number");
    for (int i = 0; i < 3; i++)
        check(fcntl(fds[i], F_GETFD) >= 0, "a compiler without its streams");
    return new_process();
}

pid_t __wrap_srv_process_library(const char *program, const struct srv_user *user,
                                 const char *plugin, const char *library, const char *device,
                                 const char *its, int end)
{
    (void)program;
    (void)user;
    (void)its;
    check(strstr(plugin, "/nn-fake.so") != NULL, "a plugin of no setting");
    check(strcmp(library, "fake.so") == 0 && strcmp(device, "cpu") == 0, "a library of no setting");
    check(fcntl(end, F_GETFD) >= 0, "a library without its socket");
    return new_process();
}

bool __wrap_srv_process_find(const char *name, char *path, size_t size)
{
    snprintf(path, size, "/%s", name);
    return true;
}

/* ---- Values ---- */

static const char *const names[] = {"alone", "beta", "gamma", "delta", "other"};

static const char *const words[] = {
    "alone", "beta", "gamma", "delta",   "other",   "nobody", "",       "fake",
    "cache", "none", "auto",  "nothing", "../fake", "a/b",    "alone ", "fake,x",
};

static void put_word(struct plat_message *m, enum plat_tag tag)
{
    struct sv_str s = take_word(&in, words, SV_COUNT(words));

    plat_put(m, tag, s.ptr, s.len);
}

static void take_values(struct plat_message *m)
{
    static const enum plat_tag tags[] = {PLAT_TAG_NUMBER, PLAT_TAG_COUNT, PLAT_TAG_LIMIT,
                                         PLAT_TAG_OP,     PLAT_TAG_NAME,  PLAT_TAG_TENANT};
    unsigned n = (unsigned)take(&in, 1) % 8;

    for (unsigned i = 0; i < n; i++) {
        unsigned c = (unsigned)take(&in, 1);
        enum plat_tag tag =
            c < 240 ? tags[c % SV_COUNT(tags)] : (enum plat_tag)(take(&in, 1) % (PLAT_TAG_END + 2));

        if (c < 100)
            plat_put_u64(m, tag, take(&in, c % 9));
        else
            put_word(m, tag);
    }
}

/* What a question of that kind has, so that it is more than refused. */
static void put_usual(struct plat_message *m)
{
    unsigned c = (unsigned)take(&in, 1);

    switch (m->kind) {
    case PLAT_ASK_COMPILE:
        plat_put_u64(m, PLAT_TAG_NUMBER, c);
        plat_put_u64(m, PLAT_TAG_COUNT, c);
        plat_put_u64(m, PLAT_TAG_LIMIT, c);
        plat_put_str(m, PLAT_TAG_OP, c & 1 ? "cache" : "none");
        break;
    case PLAT_ASK_ISOLATED:
        plat_put_str(m, PLAT_TAG_TENANT, names[c % SV_COUNT(names)]);
        break;
    case PLAT_ASK_LIBRARY:
        plat_put_str(m, PLAT_TAG_NAME, "fake");
        break;
    case PLAT_LIBRARY_END:
        plat_put_u64(m, PLAT_TAG_NUMBER, supervisor.nlibraries - c % 4);
        break;
    default:
        break;
    }
}

static int memory(const void *bytes, size_t len)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    check(fd >= 0 && (len == 0 || write(fd, bytes, len) == (ssize_t)len), "no memory file");
    return fd;
}

static int take_fd(void)
{
    int fds[2] = {-1, -1};

    switch (take(&in, 1) % 5) {
    case 0:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case 1:
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    case 2:
        return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    case 3:
        check(pipe2(fds, O_CLOEXEC) == 0, "no pipe");
        close(fds[1]);
        return fds[0];
    default:
        return memory(in.p, in.len < 64 ? in.len : 64);
    }
}

/* ---- Packets ---- */

/* Take what has come. */
static void hear(struct peer *p)
{
    static char packet[PACKET_MAX];
    struct iovec part = {packet, sizeof packet};
    int fds[SV_FDS_MAX];
    unsigned nfds;

    while (sv_fds_receive(p->fd, &part, fds, SV_FDS_MAX, &nfds, MSG_DONTWAIT) >= HEAD_BYTES) {
        uint16_t kind, flags;

        memcpy(&kind, packet, 2);
        memcpy(&flags, packet + 2, 2);
        check(flags == (kind == PLAT_BEAT ? 0 : ANSWER), "more than an answer");
        if (flags & ANSWER)
            check(p->asked-- > 0, "an answer to nobody");
        while (nfds > 0)
            close(fds[--nfds]);
    }
}

/* As it is, cut, or with its values aside. True: the supervisor has a question to answer. */
static bool send_packet(const struct peer *p, const struct plat_message *m, unsigned flags)
{
    unsigned char head[HEAD_BYTES];
    struct iovec parts[2] = {{head, sizeof head}, {m->values.data, m->values.len}};
    int fds[SV_FDS_MAX];
    unsigned nfds = 0, c = (unsigned)take(&in, 1);
    bool sent;
    unsigned wanted = m->kind == PLAT_ASK_COMPILE && c < 200 ? 3 : c > 230 ? c % 6 : 0;

    memcpy(head, &(uint16_t){(uint16_t)m->kind}, 2);
    memcpy(head + 4, &m->id, 8);
    while (nfds < wanted)
        fds[nfds++] = take_fd();
    if (c < 10 || c == 229) {
        flags |= ASIDE;
        fds[nfds++] = memory(m->values.data, m->values.len);
        if (c == 229) /* much more than that */
            check(ftruncate(fds[nfds - 1], (off_t)1 << 29) == 0, "no large file");
        parts[1].iov_len = 0;
    } else if (c < 15) {
        flags |= ASIDE;
    } else if (c < 20 && m->values.len > 0) {
        parts[1].iov_len = (size_t)take(&in, 1) % m->values.len;
    } else if (c == 228) {
        parts[0].iov_len = (size_t)take(&in, 1) % HEAD_BYTES;
        parts[1].iov_len = 0;
    }
    memcpy(head + 2, &(uint16_t){(uint16_t)flags}, 2);
    sent = sv_fds_send(p->fd, parts, 2, fds, nfds, MSG_NOSIGNAL) >= 0;
    check(sent || errno == EPIPE, "not sent");
    while (nfds > 0)
        close(fds[--nfds]);
    return sent && parts[0].iov_len == HEAD_BYTES && !(flags & ANSWER) &&
           (m->kind == PLAT_ASK_COMPILE || m->kind == PLAT_ASK_ISOLATED ||
            m->kind == PLAT_ASK_LIBRARY);
}

static struct srv_slot *slot_of(pid_t pid)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (pid && supervisor.slots[i].life.pid == pid)
            return &supervisor.slots[i];
    }
    return NULL;
}

/* One that is there. NULL: nobody is. */
static struct peer *take_peer(void)
{
    unsigned c = (unsigned)take(&in, 1);

    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &peers[(c + i) % PEERS_MAX];

        if (p->pid && slot_of(p->pid))
            return p;
    }
    return NULL;
}

static void say(void)
{
    static const enum plat_kind kinds[] = {PLAT_ASK_COMPILE, PLAT_ASK_ISOLATED, PLAT_ASK_LIBRARY,
                                           PLAT_LIBRARY_END, PLAT_READY,        PLAT_BEAT};
    unsigned c = (unsigned)take(&in, 1);
    struct peer *p = take_peer();
    struct plat_message m;

    if (!p)
        return;
    plat_message_init(&m, c < 230 ? kinds[c % SV_COUNT(kinds)]
                                  : (enum plat_kind)(take(&in, 1) % (PLAT_KIND_COUNT + 2)));
    c = (unsigned)take(&in, 1);
    m.id = c < 240 ? c : take(&in, 8);
    if (c < 200)
        put_usual(&m);
    if (c > 150)
        take_values(&m);
    p->asked += send_packet(p, &m, c > 245 ? (unsigned)take(&in, 2) & ~ASIDE : 0);
    plat_message_release(&m);
    (void)plat_channel_turn(slot_of(p->pid)->link);
    hear(p);
}

/* ---- What happens meanwhile ---- */

static void list_tenants(void)
{
    unsigned c = (unsigned)take(&in, 1);
    struct plat_message m;

    plat_message_init(&m, PLAT_ISOLATED);
    for (unsigned i = 0; i < SV_COUNT(names) - 1; i++) { /* never `other` */
        if (c & 1U << i)
            plat_put_str(&m, PLAT_TAG_TENANT, names[i]);
    }
    srv_supervise_take_control(&supervisor, NULL, &m);
    plat_message_release(&m);
}

static void forget_peer(struct peer *p)
{
    hear(p);
    close(p->fd);
    *p = (struct peer){.pid = 0};
}

static void end_worker(struct peer *p, int status)
{
    struct srv_slot *slot = slot_of(p->pid);

    if (slot->tenant[0])
        take_isolated_end(&supervisor, slot, status);
    else
        take_worker_end(&supervisor, slot, status);
    forget_peer(p);
}

static void end_compiler(unsigned c, int status)
{
    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        struct srv_compile *one = &supervisor.compiles[i];

        if (one->used && one->pid > 0 && c-- == 0) {
            check(srv_compile_end(&supervisor, one->pid, status), "a compiler of nobody");
            return;
        }
    }
}

static void end_library(unsigned c, int status)
{
    for (unsigned i = 0; i < SRV_LIBRARIES_MAX; i++) {
        struct srv_library *one = &supervisor.libraries[i];

        if (one->pid > 0 && c-- == 0) {
            check(srv_library_end(&supervisor, one->pid, status), "a library of nobody");
            return;
        }
    }
}

/* Whoever is to come back does so now. */
static void pass_time(void)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (supervisor.slots[i].life.due_ns)
            supervisor.slots[i].life.due_ns = 1;
    }
    for (unsigned i = 0; i < SRV_COMPILES_MAX; i++) {
        if (supervisor.compiles[i].used && take(&in, 1) == 255)
            supervisor.compiles[i].kill_ns = 1;
    }
    (void)take_time(&supervisor);
}

static void step(void)
{
    unsigned c = (unsigned)take(&in, 1);
    struct peer *p;

    if (c < 180) {
        say();
    } else if (c < 200) {
        list_tenants();
    } else if (c < 215) {
        end_compiler((unsigned)take(&in, 1) % 8, FAILED);
    } else if (c < 225) {
        end_library((unsigned)take(&in, 1) % 8, FAILED);
    } else if (c < 240) {
        p = take_peer();
        if (p)
            end_worker(p, c & 1 ? FAILED : 0);
    } else {
        pass_time();
    }
}

/* ---- What must be ---- */

static void check_parts(void)
{
    unsigned running = 0, isolated = 0;

    for (unsigned i = 0; i < PLACES; i++) {
        const struct srv_slot *slot = &supervisor.slots[i];
        unsigned compiles = 0, libraries = 0;

        if (slot->state == SRV_SLOT_FREE)
            continue;
        for (unsigned k = 0; k < SRV_COMPILES_MAX; k++)
            compiles += supervisor.compiles[k].used && supervisor.compiles[k].slot == slot;
        for (unsigned k = 0; k < SRV_LIBRARIES_MAX; k++)
            libraries += supervisor.libraries[k].pid && supervisor.libraries[k].slot == slot;
        check(compiles <= COMPILES_EACH, "more compilers than its part");
        check(libraries <= (slot->tenant[0] ? LIBRARIES_EACH : 0), "more libraries than its part");
        isolated += slot->tenant[0] != '\0';
    }
    for (unsigned k = 0; k < SRV_COMPILES_MAX; k++)
        running += supervisor.compiles[k].used && supervisor.compiles[k].pid != 0;
    check(isolated <= ISOLATED_MAX, "more processes of tenants than there are places");
    check(running <= (unsigned)sysconf(_SC_NPROCESSORS_ONLN) + 1, "more compilers than cores");
}

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    check(d != NULL, "no /proc");
    while (readdir(d))
        n++;
    closedir(d);
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++)
        n -= supervisor.slots[i].ring >= 0; /* they stay */
    return n;
}

/* All go: what they had goes with them. */
static void end_all_of_them(void)
{
    unsigned left = 1;

    while (left > 0) { /* some begin when others end */
        left = 0;
        end_compiler(0, FAILED);
        for (unsigned i = 0; i < SRV_COMPILES_MAX; i++)
            left += supervisor.compiles[i].used;
    }
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        if (!peers[i].pid || !slot_of(peers[i].pid))
            continue;
        hear(&peers[i]);
        check(peers[i].asked == 0, "a question has no answer");
    }
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        if (peers[i].pid && slot_of(peers[i].pid))
            end_worker(&peers[i], 0);
        else if (peers[i].pid)
            forget_peer(&peers[i]);
    }
    for (unsigned i = 0; i < SRV_LIBRARIES_MAX; i++)
        end_library(0, FAILED);
    for (unsigned i = 0; i < PLACES; i++) {
        struct srv_slot *slot = &supervisor.slots[i];

        check(slot->state == SRV_SLOT_FREE && !slot->link, "a worker that nobody is");
        srv_isolated_close(slot);
        slot->life = (struct srv_life){0};
        slot->unready = slot->nstarted = 0;
    }
    plat_message_release(&supervisor.isolated);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

static void remove_all(void)
{
    if (getpid() == owner)
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void start_two(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct srv_slot *slot = srv_slot_find_free(&supervisor);

        if (slot)
            (void)srv_start_worker(&supervisor, slot, false);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct srv_server server = {.root = -1, .spare_fd = -1, .data_lock = -1};
    static char name[] = "ssvm-serve", *none[] = {name, NULL};
    static char cache[sizeof folder + 8], rings[sizeof folder + 8];

    (void)argc;
    (void)argv;
    check(srv_config_read(&server.config, 1, none) == SRV_CONFIG_RUN, "no settings");
    check(mkdtemp(folder) != NULL, "no folder");
    owner = getpid();
    atexit(remove_all);
    setenv("TMPDIR", folder, 1); /* of libraries */
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(rings, sizeof rings, "%s/rings", folder);
    check(mkdir(cache, 0700) == 0 && mkdir(rings, 0700) == 0, "no folders");
    server.config.cache_dir = cache;
    server.config.isolated = ISOLATED_MAX;
    server.config.nn = "fake=fake.so,nothing";
    snprintf(server.data, sizeof server.data, "%s", folder);
    supervisor.server = &server;
    supervisor.generation = 1;
    supervisor.has_control = true;
    supervisor.tally_fd = supervisor.ticket_fd = supervisor.program_fd = supervisor.control_fd = -1;
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        struct srv_slot *slot = &supervisor.slots[i];

        slot->supervisor = &supervisor;
        slot->ring = slot->worker_end = slot->control_end = slot->door[0] = slot->door[1] = -1;
        if (i >= PLACES) /* others', for ever */
            slot->state = SRV_SLOT_RETIRING;
    }
    plat_message_init(&supervisor.isolated, PLAT_ISOLATED);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before = count_fds();

    in = (struct input){data, size};
    next_pid = FIRST_PID;
    supervisor.started = true;
    list_tenants();
    start_two();
    for (unsigned i = 0; i < STEPS_MAX && in.len > 0; i++) {
        step();
        check_parts();
    }
    end_all_of_them();
    check(count_fds() == before, "a descriptor is kept");
    return 0;
}
