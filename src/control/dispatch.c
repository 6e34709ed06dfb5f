/* Dispatching: one table, made from message.def. What a message means is its handler's. */
#include "control/dispatch.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What no file has filled in yet says so. */
#define KIND(name, handler)                                                                        \
    __attribute__((weak)) int handler(struct ctl_server *server, struct sv_err *err,               \
                                      struct plat_message *request, struct plat_message *ret)      \
    {                                                                                              \
        (void)server, (void)request, (void)ret;                                                    \
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "not supported by this build");         \
    }
#define PUSH(name)
#define ASK(name)
#define TAG(name)
#include "platform/message.def"
#undef KIND

#define LISTS 1024

static const ctl_kind_fn handlers[PLAT_KIND_COUNT] = {
#define KIND(name, handler) [PLAT_##name] = handler,
#include "platform/message.def"
#undef KIND
#undef PUSH
#undef ASK
#undef TAG
};

struct task {
    struct plat_channel *channel;
    struct plat_message request;
    size_t bytes;
    void (*done)(void *, size_t);
    void *data;
    struct task *next, **place; /* in its list */
    int cancel_fd;              /* -1: nobody has asked for it */
    bool cancelled;
};

/* All that wait or run, by their ids: there may be many. */
static struct {
    pthread_mutex_t lock;
    struct task *lists[LISTS];
} tasks = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- Cancelling ---- */

static void add(struct task *task)
{
    struct task **list = &tasks.lists[task->request.id % LISTS];

    pthread_mutex_lock(&tasks.lock);
    task->next = *list;
    task->place = list;
    if (task->next)
        task->next->place = &task->next;
    *list = task;
    pthread_mutex_unlock(&tasks.lock);
}

static void take_out(struct task *task)
{
    pthread_mutex_lock(&tasks.lock);
    *task->place = task->next;
    if (task->next)
        task->next->place = task->place;
    pthread_mutex_unlock(&tasks.lock);
    if (task->cancel_fd >= 0)
        close(task->cancel_fd);
}

void ctl_dispatch_cancel(struct plat_channel *channel, uint64_t id)
{
    uint64_t one = 1;

    pthread_mutex_lock(&tasks.lock);
    for (struct task *t = id ? tasks.lists[id % LISTS] : NULL; t; t = t->next) {
        if (t->channel != channel || t->request.id != id)
            continue;
        t->cancelled = true;
        if (t->cancel_fd >= 0)
            (void)!write(t->cancel_fd, &one, sizeof one);
    }
    pthread_mutex_unlock(&tasks.lock);
}

/* With the lock held. NULL: it is none of ours, or nobody waits for it. */
static struct task *find(const struct plat_message *request)
{
    struct task *t = request->id ? tasks.lists[request->id % LISTS] : NULL;

    while (t && &t->request != request)
        t = t->next;
    return t;
}

bool ctl_dispatch_cancelled(const struct plat_message *request)
{
    struct task *t;
    bool cancelled;

    pthread_mutex_lock(&tasks.lock);
    t = find(request);
    cancelled = t && t->cancelled;
    pthread_mutex_unlock(&tasks.lock);
    return cancelled;
}

int ctl_dispatch_cancel_fd(const struct plat_message *request)
{
    struct task *t;
    int fd = -1;

    pthread_mutex_lock(&tasks.lock);
    t = find(request);
    if (t && t->cancel_fd < 0)
        t->cancel_fd = eventfd(t->cancelled, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t)
        fd = t->cancel_fd;
    pthread_mutex_unlock(&tasks.lock);
    return fd;
}

/* ---- Running ---- */

static void answer(struct ctl_server *server, struct task *task)
{
    enum plat_kind kind = task->request.kind;
    struct sv_err err = {0};
    struct plat_message ret;
    int r;

    plat_message_init(&ret, kind);
    r = handlers[kind] ? handlers[kind](server, &err, &task->request, &ret)
                       : sv_fail(&err, SV_EUNSUPPORTED, SV_NO_OFFSET, "an unknown message");
    if (r < 0)
        plat_put_error(&ret, &err);
    if (ret.values.failed) {
        struct sv_err memory = {0};

        sv_fail_nomem(&memory, "an answer");
        plat_put_error(&ret, &memory);
    }
    /* Who asked may be gone: nothing is left to do then. */
    (void)plat_channel_answer(task->channel, NULL, task->request.id, &ret);
    plat_message_release(&ret);
}

static void run_task(struct ctl_server *server, void *data)
{
    struct task *task = data;
    bool cancelled;

    pthread_mutex_lock(&tasks.lock);
    cancelled = task->cancelled;
    pthread_mutex_unlock(&tasks.lock);
    if (!cancelled)
        answer(server, task);
    take_out(task);
    plat_message_release(&task->request);
    task->done(task->data, task->bytes);
    sv_free(task);
}

void ctl_dispatch_refuse(struct plat_channel *channel, const struct plat_message *message)
{
    struct plat_message refusal;
    struct sv_err err = {0};

    plat_message_init(&refusal, message->kind);
    sv_fail(&err, SV_ELIMIT, SV_NO_OFFSET, "the control process is overloaded");
    plat_put_error(&refusal, &err);
    (void)plat_channel_answer(channel, NULL, message->id, &refusal);
    plat_message_release(&refusal);
}

void ctl_dispatch(struct ctl_server *server, struct plat_channel *channel,
                  struct plat_message *message, void (*done)(void *, size_t), void *data)
{
    struct task *task = sv_alloc(sizeof *task);
    size_t bytes = message->values.cap;

    if (task) {
        *task = (struct task){.channel = channel,
                              .request = *message,
                              .bytes = bytes,
                              .done = done,
                              .data = data,
                              .cancel_fd = -1};
        add(task);
        if (ctl_pool_run(server, run_task, task) == 0) {
            plat_message_init(message, PLAT_NONE);
            return;
        }
        take_out(task);
        sv_free(task);
    }
    ctl_dispatch_refuse(channel, message);
    done(data, bytes);
}
