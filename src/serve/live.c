/* What this worker does now, told to the control process as JSON. Changes nothing. */
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "serve/link.h"
#include "serve/loop.h"

#define REQUESTS_MAX 200 /* that are told */
#define ANSWER_MAX (1U << 20)

struct writer {
    struct sv_buf out;
    unsigned count;
    uint64_t now_ns;
};

static bool put_request(void *data, const struct srv_conn *conn)
{
    struct writer *w = data;
    const struct srv_request *request = &conn->work->request;

    if (w->count == REQUESTS_MAX)
        return false;
    sv_buf_puts(&w->out, w->count++ > 0 ? ",{\"id\":\"" : "{\"id\":\"");
    sv_buf_puts(&w->out, request->id);
    sv_buf_puts(&w->out, "\",\"tenant\":");
    sv_buf_json_string(&w->out, request->function->tenant, strlen(request->function->tenant));
    sv_buf_puts(&w->out, ",\"function\":");
    sv_buf_json_string(&w->out, request->function->name, strlen(request->function->name));
    sv_buf_printf(&w->out,
                  ",\"method\":\"%s\",\"path\":", srv_method_name(conn->work->http.method));
    sv_buf_json_string(&w->out, request->path, request->path_len);
    sv_buf_printf(&w->out, ",\"ms\":%" PRIu64 "}",
                  w->now_ns > request->start_ns ? (w->now_ns - request->start_ns) / 1000000 : 0);
    return true;
}

static void put_numbers(struct srv_server *server, struct sv_buf *b)
{
    struct srv_pool *pool = &server->pool;
    struct rusage usage;
    unsigned queued;

    getrusage(RUSAGE_SELF, &usage);
    pthread_mutex_lock(&pool->lock);
    queued = pool->fair.queued;
    pthread_mutex_unlock(&pool->lock);
    sv_buf_printf(b, "{\"pid\":%d,\"cpu_ms\":%" PRIu64, (int)getpid(),
                  (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                      (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
    sv_buf_printf(b, ",\"connections\":%" PRIu64 ",\"queued\":%u,\"records_lost\":%" PRIu64,
                  atomic_load(&server->connections), queued, atomic_load(&server->records_lost));
}

void srv_live_ask(struct srv_server *server, struct plat_channel *channel, struct plat_message *m)
{
    struct writer w = {.now_ns = srv_clock_ns()};
    struct plat_message answer;

    sv_buf_init(&w.out, ANSWER_MAX);
    put_numbers(server, &w.out);
    sv_buf_puts(&w.out, ",\"requests\":[");
    srv_pool_each_guest(&server->pool, put_request, &w);
    sv_buf_printf(&w.out, "],\"running\":%u}", w.count);
    plat_message_init(&answer, m->kind);
    plat_put(&answer, PLAT_TAG_BODY, w.out.data, w.out.len);
    (void)plat_channel_answer(channel, NULL, m->id, &answer);
    plat_message_release(&answer);
    sv_buf_release(&w.out);
}
