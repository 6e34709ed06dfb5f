/* The queue and time tables, on both back ends: what was acknowledged is run at least once, whoever
 * is killed; what fails comes again, and is dead in the end; a run of a time table is one job,
 * however many nodes look at it. The workers are a function here. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/cron.h"
#include "control/part.h"
#include "control/queue.h"
#include "control/schema.h"
#include "platform/record.h"

#include "cluster.h"

#define KILLS 12
#define LINES_BYTES 40 /* of what one life says before it is killed: some pushes and runs */
#define BODY_MAX 32

static char folder[] = "/tmp/ssvm-queue-XXXXXX";
static char url[256];

/* ---- The workers ---- */

static struct {
    pthread_mutex_t lock;
    int out;        /* each run's body and a line feed go here */
    unsigned asked; /* requests */
    unsigned at_once, most;
    unsigned fail;    /* answer 500 so many times */
    unsigned trigger; /* of the last */
    bool gone;        /* there is no worker */
    unsigned refused; /* while there was none */
    bool hold;        /* nothing is answered until this ends */
    unsigned pause_ms;
} workers = {.lock = PTHREAD_MUTEX_INITIALIZER, .out = -1};

int ctl_workers_ask(struct ctl_server *s, struct sv_err *err, struct plat_message *m,
                    uint64_t deadline_ns, struct plat_message *ret)
{
    struct sv_str body = plat_get(m, PLAT_TAG_BODY);
    bool failed;
    uint64_t trigger = 0;

    (void)s;
    assert_int_equal(m->kind, PLAT_ASK_INVOKE);
    assert_true(deadline_ns > sv_clock_ns());
    pthread_mutex_lock(&workers.lock);
    if (workers.gone) {
        workers.refused++;
        pthread_mutex_unlock(&workers.lock);
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "no worker is there");
    }
    workers.asked++;
    if (++workers.at_once > workers.most)
        workers.most = workers.at_once;
    failed = workers.fail > 0;
    workers.fail -= failed;
    (void)plat_get_u64(m, PLAT_TAG_NUMBER, &trigger);
    workers.trigger = (unsigned)trigger;
    if (workers.out >= 0 && !failed) {
        char line[BODY_MAX + 2];
        int n = snprintf(line, sizeof line, "r%.*s\n", (int)body.len, body.ptr);

        assert_int_equal(write(workers.out, line, (size_t)n), n);
    }
    do {
        pthread_mutex_unlock(&workers.lock);
        usleep(workers.pause_ms * 1000);
        pthread_mutex_lock(&workers.lock);
    } while (workers.hold);
    workers.at_once--;
    pthread_mutex_unlock(&workers.lock);
    plat_message_init(ret, PLAT_ASK_INVOKE);
    plat_put_u64(ret, PLAT_TAG_STATUS, failed ? 500 : 200);
    plat_put_str(ret, PLAT_TAG_BODY, failed ? "it failed\nand more" : "");
    return 0;
}

/* ---- A server ---- */

static int run_text(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(sql, err, data, CTL_NO_PARAMS);
}

static void execute(struct ctl_server *s, const char *text)
{
    struct sv_err err = {0};

    if (ctl_db_write(s->db, &err, run_text, (void *)(uintptr_t)text) < 0)
        fail_msg("%s", err.text);
}

static void open_node(struct ctl_server *s, const char *node)
{
    struct sv_err err = {0};
    char text[200];

    memset(s, 0, sizeof *s);
    snprintf(s->node, sizeof s->node, "%s", node);
    if (ctl_pool_start(s, &err) < 0 || ctl_db_open(&err, url, &s->db) < 0)
        fail_msg("%s", err.text);
    /* As the store's clock says it: else the other node takes it for gone, and its jobs. */
    snprintf(text, sizeof text,
             "insert into nodes (id, started_ms, seen_ms, schema) values ('%s', 0, "
             "9000000000000000, 1) on conflict (id) do nothing",
             node);
    execute(s, text);
}

static void start(struct ctl_server *s, const char *node)
{
    struct sv_err err = {0};

    open_node(s, node);
    if (ctl_queue_start(s, &err) < 0)
        fail_msg("%s", err.text);
}

/* With a function, without a job or a time table: what another test left is not ours. */
static void start_empty(struct ctl_server *s, const char *node)
{
    struct sv_err err = {0};

    open_node(s, node);
    execute(s, "delete from queue");
    execute(s, "delete from cron");
    execute(s, "insert into functions (tenant, name, created_ms) select 'default', 'f', 0 where "
               "not exists (select 1 from functions)");
    workers.asked = workers.most = workers.fail = workers.refused = workers.pause_ms = 0;
    workers.gone = workers.hold = false;
    if (ctl_queue_start(s, &err) < 0)
        fail_msg("%s", err.text);
}

/* Parts live as long as their process: they are kept for whoever looks for leaks. */
static void keep(void *part)
{
    static void *kept[200] __attribute__((used));
    static unsigned n;

    if (part && n < SV_COUNT(kept))
        kept[n++] = part;
}

static void stop(struct ctl_server *s)
{
    keep(s->queue);
    keep(s->cron);
    ctl_queue_stop(s);
    ctl_db_close(s->db);
    ctl_pool_stop(s);
}

static void push_for(struct ctl_server *s, const char *function, const char *body,
                     unsigned attempts)
{
    struct ctl_job job = {.tenant = "default",
                          .function = function,
                          .body = {body, strlen(body)},
                          .trigger = PLAT_TRIGGER_QUEUE,
                          .attempts_max = attempts};
    struct sv_err err = {0};
    int64_t id;

    if (ctl_queue_add(s, &err, &job, 0, &id) < 0)
        fail_msg("%s", err.text);
}

static void push(struct ctl_server *s, const char *function, const char *body)
{
    push_for(s, function, body, 3);
}

static uint64_t count(struct ctl_server *s, enum ctl_job_state state)
{
    uint64_t n[CTL_JOB_STATE_COUNT];

    assert_int_equal(ctl_queue_count(s, NULL, "default", NULL, n), 0);
    return n[state];
}

/* Until there are so many in the state; half a minute at most. */
static void await(struct ctl_server *s, enum ctl_job_state state, uint64_t n)
{
    for (int i = 0; count(s, state) != n; i++) {
        if (i > 3000)
            fail_msg("%llu jobs are %s, not %llu", (unsigned long long)count(s, state),
                     ctl_job_state_name(state), (unsigned long long)n);
        usleep(10000);
    }
}

/* Until so many are at the workers at once: a job runs before it has come there. */
static void await_workers(unsigned n)
{
    unsigned at_once = 0;

    for (int i = 0; i <= 3000 && at_once != n; i++) {
        usleep(10000);
        pthread_mutex_lock(&workers.lock);
        at_once = workers.at_once;
        pthread_mutex_unlock(&workers.lock);
    }
    assert_int_equal(at_once, n);
}

/* Until none waits and none runs. */
static void await_end(struct ctl_server *s)
{
    uint64_t n[CTL_JOB_STATE_COUNT];

    for (int i = 0; i < 6000; i++) {
        assert_int_equal(ctl_queue_count(s, NULL, "default", NULL, n), 0);
        if (n[CTL_JOB_WAITING] + n[CTL_JOB_RUNNING] == 0)
            return;
        usleep(10000);
    }
    fail_msg("jobs wait and wait");
}

/* ---- The tests ---- */

static void runs(void **unused)
{
    struct ctl_server s;
    uint64_t best = UINT64_MAX;

    (void)unused;
    start_empty(&s, "a");
    for (unsigned i = 1; i <= 100 && best >= 900000000; i++) {
        uint64_t began = sv_clock_ns(), took;

        push(&s, "f", "1");
        await_end(&s);
        took = sv_clock_ns() - began;
        best = took < best ? took : best;
        assert_int_equal(workers.asked, i);
        assert_int_equal(workers.trigger, PLAT_TRIGGER_QUEUE);
    }
    /* Woken, not found at the next look: that is a second after the job before. */
    assert_true(best < 900000000);
    stop(&s);
}

static void take_dead(void *data, const struct ctl_job *job)
{
    struct ctl_job *ret = data;

    assert_string_equal(job->error, "500: it failed");
    assert_int_equal(job->attempts, 3);
    assert_int_equal(job->state, CTL_JOB_DEAD);
    assert_memory_equal(job->body.ptr, "again", 5);
    ret->id = job->id;
}

/* Twice it fails: it comes again after a second and two; three times: it is dead, until asked for.
 */
static void fails(void **unused)
{
    struct ctl_server s;
    struct ctl_job job = {0};
    uint64_t began;
    struct sv_err err = {0};

    (void)unused;
    start_empty(&s, "a");
    workers.fail = 2;
    began = sv_clock_ns();
    push(&s, "f", "again");
    await_end(&s);
    assert_int_equal(workers.asked, 3);
    assert_true(sv_clock_ns() - began > 2000000000);
    workers.fail = 3;
    push(&s, "f", "again");
    await(&s, CTL_JOB_DEAD, 1);
    assert_int_equal(ctl_queue_list(&s, NULL, "default", "f", CTL_JOB_DEAD, 0, 10, take_dead, &job),
                     0);
    assert_true(job.id > 0);
    assert_int_equal(ctl_queue_retry(&s, &err, "other", job.id), SV_ENOTFOUND);
    assert_int_equal(ctl_queue_retry(&s, NULL, "default", job.id), 0);
    await_end(&s);
    assert_int_equal(count(&s, CTL_JOB_DEAD), 0);
    assert_int_equal(workers.asked, 7);
    workers.fail = 3;
    push(&s, "f", "again");
    await(&s, CTL_JOB_DEAD, 1);
    (void)ctl_queue_list(&s, NULL, "default", NULL, CTL_JOB_STATE_COUNT, 0, 10, take_dead, &job);
    assert_int_equal(ctl_queue_delete(&s, NULL, "default", job.id), 0);
    assert_int_equal(count(&s, CTL_JOB_DEAD), 0);
    stop(&s);
}

/* Nobody to ask is no attempt. */
static void waits_for_workers(void **unused)
{
    struct ctl_server s;

    (void)unused;
    start_empty(&s, "a");
    workers.gone = true;
    push(&s, "f", "later");
    for (int i = 0; i < 6000 && workers.refused < 4; i++)
        usleep(10000);
    assert_true(workers.refused >= 4); /* than attempts */
    assert_int_equal(count(&s, CTL_JOB_DEAD), 0);
    workers.gone = false;
    await_end(&s);
    assert_int_equal(workers.asked, 1);
    stop(&s);
}

/* A function with many slow jobs does not keep another's waiting, and has so many at a time. */
static void is_fair(void **unused)
{
    struct ctl_server s;
    char body[BODY_MAX];

    (void)unused;
    start_empty(&s, "a");
    workers.pause_ms = 1;
    workers.hold = true;
    for (int i = 0; i < 40; i++) {
        snprintf(body, sizeof body, "%d", i);
        push(&s, "slow", body);
    }
    await(&s, CTL_JOB_RUNNING, 8);
    push(&s, "other", "x");
    await(&s, CTL_JOB_RUNNING, 9);
    await_workers(9);
    workers.hold = false;
    await_end(&s);
    assert_int_equal(workers.most, 9);
    assert_int_equal(workers.asked, 41);
    stop(&s);
}

/* In a process of its own: push and say so (`a`), run and say so (`r`), until it is killed. */
static void work(int out, int life)
{
    struct ctl_server s;
    char line[BODY_MAX + 3], body[BODY_MAX];

    workers.out = out;
    workers.pause_ms = 5;
    start(&s, "a");
    for (int i = 0;; i++) {
        snprintf(body, sizeof body, "%d.%d", life, i);
        push_for(&s, i % 2 ? "f" : "g", body, KILLS + 1); /* each life may cut it once */
        snprintf(line, sizeof line, "a%s\n", body);
        if (write(out, line, strlen(line)) < 0)
            _exit(1);
    }
}

static unsigned has_line(const char *all, char letter, const char *body)
{
    char line[BODY_MAX + 3];
    unsigned n = 0;

    snprintf(line, sizeof line, "\n%c%s\n", letter, body);
    for (const char *p = all; (p = strstr(p, line)); p++)
        n++;
    return n;
}

/* Until the file has some more lines, or for a minute. */
static void await_lines(FILE *file, int life)
{
    static off_t before;
    struct stat st;

    for (int i = 0; i < 60000; i++) {
        assert_int_equal(fstat(fileno(file), &st), 0);
        if (st.st_size > (life == 0 ? 1 : before) + LINES_BYTES)
            break;
        usleep(1000);
    }
    before = st.st_size;
}

static void survives_kills(void **unused)
{
    struct ctl_server s;
    char path[80], body[BODY_MAX], *all;
    unsigned acknowledged = 0, again = 0;
    FILE *file;
    long len;

    (void)unused;
    snprintf(path, sizeof path, "%s/lines", folder);
    file = fopen(path, "w+e");
    assert_non_null(file);
    fputs("\n", file);
    fflush(file);
    start_empty(&s, "a");
    stop(&s);
    for (int life = 0; life < KILLS; life++) {
        pid_t pid = fork();
        int out = pid == 0 ? dup(fileno(file)) : -1;

        if (pid == 0)
            work(out, life);
        await_lines(file, life); /* a busy machine takes its time to start */
        usleep((useconds_t)(life * 37000 % 200000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    fseek(file, 0, SEEK_END);
    workers.out = fileno(file);
    start(&s, "a");
    await_end(&s);
    stop(&s);
    workers.out = -1;
    len = ftell(file);
    fseek(file, 0, SEEK_END);
    len = ftell(file);
    all = calloc(1, (size_t)len * 2 + 2);
    rewind(file);
    assert_int_equal(fread(all, 1, (size_t)len, file), len);
    /* Each line is framed by two line feeds for has_line. */
    for (long i = len - 1; i >= 0; i--) {
        if (all[i] == '\n' && i + 1 < len) {
            memmove(all + i + 2, all + i + 1, strlen(all + i + 1) + 1);
            all[i + 1] = '\n';
        }
    }
    for (int life = 0; life < KILLS; life++) {
        for (int i = 0;; i++) {
            snprintf(body, sizeof body, "%d.%d", life, i);
            if (!has_line(all, 'a', body))
                break;
            acknowledged++;
            if (!has_line(all, 'r', body))
                fail_msg("%s was acknowledged and never run", body);
            again += has_line(all, 'r', body) - 1;
        }
    }
    print_message("%u acknowledged, %u run again, in %d lives\n", acknowledged, again, KILLS);
    assert_true(acknowledged > KILLS);
    assert_true(again <= KILLS * 24);
    free(all);
    fclose(file);
}

/* ---- Time tables ---- */

static int set_tables(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct ctl_cron_entry *e = data;

    return ctl_cron_set(sql, err, "default", "f", e, e->schedule ? 1 : 0);
}

static struct ctl_cron_entry found;
static char found_schedule[CTL_CRON_TEXT_MAX];
static unsigned nfound;

static void find(void *data, const struct ctl_cron_entry *e)
{
    (void)data;
    found = *e;
    snprintf(found_schedule, sizeof found_schedule, "%s", e->schedule);
    nfound++;
}

static void list_tables(struct ctl_server *s)
{
    nfound = 0;
    assert_int_equal(ctl_cron_list(s, NULL, "default", "f", find, NULL), 0);
}

/* Two nodes, a run each second: as many jobs as seconds. */
static void once_on_two_nodes(void **unused)
{
    struct ctl_cron_entry e = {.schedule = "every 1s", .path = "/tick", .body = {"tock", 4}};
    struct ctl_server a, b;
    struct sv_err err = {0};
    int64_t next, ms;

    (void)unused;
    start_empty(&a, "a");
    start(&b, "b");
    assert_int_equal(ctl_db_write(a.db, NULL, set_tables, &e), 0);
    list_tables(&a);
    assert_int_equal(nfound, 1);
    assert_string_equal(found_schedule, "every 1s");
    next = found.next_ms;
    /* The same again: its time stays. Another: it is a new one. */
    assert_int_equal(ctl_db_write(a.db, NULL, set_tables, &e), 0);
    list_tables(&a);
    assert_int_equal(found.next_ms, next);
    ms = (int64_t)(sv_clock_ns() / 1000000);
    assert_int_equal(ctl_cron_start(&a, &err), 0);
    assert_int_equal(ctl_cron_start(&b, &err), 0);
    for (int i = 0; i < 6000 && workers.asked < 5; i++)
        usleep(10000);
    list_tables(&a);
    ctl_cron_stop(&a);
    ctl_cron_stop(&b);
    ms = (int64_t)(sv_clock_ns() / 1000000) - ms;
    await_end(&a);
    print_message("%u runs in %lld ms on two nodes\n", workers.asked, (long long)ms);
    /* One may have been due already, and another soon after. */
    assert_true(workers.asked >= 5 && workers.asked <= ms / 1000 + 2);
    assert_int_equal(workers.trigger, PLAT_TRIGGER_CRON);
    assert_true(found.last_ms > 0 && found.next_ms > next);
    e.schedule = NULL;
    assert_int_equal(ctl_db_write(a.db, NULL, set_tables, &e), 0);
    list_tables(&a);
    assert_int_equal(nfound, 0);
    stop(&a);
    stop(&b);
}

/* Until the time table's next run is in the coming hour; half a minute at most. */
static void await_next(struct ctl_server *s)
{
    for (int i = 0; i < 3000; i++) {
        int64_t now = (int64_t)(sv_clock_wall_ns() / 1000000);

        list_tables(s);
        if (found.next_ms > now && found.next_ms <= now + 3600000)
            return;
        usleep(10000);
    }
    fail_msg("the next run is at %lld", (long long)found.next_ms);
}

/* Nobody was there for a while: one run for all that were missed, or none. A clock that was a day
 * ahead: the times that it left are put right. */
static void missed(void **unused)
{
    struct ctl_cron_entry e = {0};
    struct ctl_server s;
    struct sv_err err = {0};
    int64_t now = (int64_t)(sv_clock_wall_ns() / 1000000), day = 86400000;
    char text[160], schedule[32];

    (void)unused;
    start_empty(&s, "a");
    /* Once an hour, not soon. */
    snprintf(schedule, sizeof schedule, "%d * * * *", (int)((now / 60000 + 30) % 60));
    e.schedule = schedule;
    assert_int_equal(ctl_db_write(s.db, NULL, set_tables, &e), 0);
    snprintf(text, sizeof text, "update cron set next_ms = %lld", (long long)(now - day));
    execute(&s, text);
    assert_int_equal(ctl_cron_start(&s, &err), 0);
    await_next(&s);
    await_end(&s);
    assert_int_equal(workers.asked, 1);
    snprintf(text, sizeof text, "update cron set missed = 1, next_ms = %lld",
             (long long)(now - day));
    execute(&s, text);
    await_next(&s);
    await_end(&s);
    assert_int_equal(workers.asked, 1);
    ctl_cron_stop(&s);
    keep(s.cron);
    snprintf(text, sizeof text, "update cron set next_ms = %lld, last_ms = %lld",
             (long long)(now + day + 1), (long long)(now + day));
    execute(&s, text);
    assert_int_equal(ctl_cron_start(&s, &err), 0);
    await_next(&s);
    await_end(&s);
    assert_int_equal(workers.asked, 1);
    ctl_cron_stop(&s);
    stop(&s);
}

static void never_comes(void **unused)
{
    struct ctl_cron_entry e = {.schedule = "0 0 30 2 *"};
    struct ctl_server s;
    struct sv_err err = {0};

    (void)unused;
    start_empty(&s, "a");
    assert_int_equal(ctl_db_write(s.db, &err, set_tables, &e), SV_EUSAGE);
    assert_string_equal(err.text, "'0 0 30 2 *' never comes");
    stop(&s);
}

/* Of a worker that was taken over: no job is larger than those that others push. */
static void says_too_much(void **unused)
{
    static const enum plat_tag tags[] = {PLAT_TAG_TENANT, PLAT_TAG_FUNCTION, PLAT_TAG_PATH,
                                         PLAT_TAG_TEXT, PLAT_TAG_TRACE};
    char *large = calloc(1, 1 << 20);
    struct plat_message m, ret;
    uint64_t n[CTL_JOB_STATE_COUNT];
    struct ctl_server s;
    struct sv_err err = {0};

    (void)unused;
    assert_non_null(large);
    memset(large, 'x', (1 << 20) - 1);
    start_empty(&s, "a");
    for (unsigned i = 0; i <= SV_COUNT(tags); i++) { /* the last has nothing that is too large */
        plat_message_init(&m, PLAT_QUEUE_PUSH);
        plat_message_init(&ret, PLAT_QUEUE_PUSH);
        for (unsigned k = 0; k < SV_COUNT(tags); k++)
            plat_put_str(&m, tags[k], k == i ? large : "t");
        plat_put_u64(&m, PLAT_TAG_TTL_MS, 3600000);
        assert_int_equal(ctl_queue_push(&s, &err, &m, &ret), i < SV_COUNT(tags) ? SV_EUSAGE : 0);
        plat_message_release(&m);
        plat_message_release(&ret);
    }
    assert_int_equal(ctl_queue_count(&s, &err, "t", NULL, n), 0);
    assert_int_equal(n[CTL_JOB_WAITING], 1);
    stop(&s);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_kills), cmocka_unit_test(runs),
        cmocka_unit_test(fails),          cmocka_unit_test(waits_for_workers),
        cmocka_unit_test(is_fair),        cmocka_unit_test(once_on_two_nodes),
        cmocka_unit_test(missed),         cmocka_unit_test(never_comes),
        cmocka_unit_test(says_too_much),
    };
    char command[80];
    int r;

    if (!mkdtemp(folder))
        return 1;
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    r = cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
    if (cluster_start()) {
        snprintf(url, sizeof url, "%s", cluster_url(""));
        r |= cmocka_run_group_tests_name("postgresql", tests, NULL, NULL);
        cluster_end();
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? r : 1;
}
