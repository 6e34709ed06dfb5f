/* The database, as everybody sees it: which back end, words of SQL that differ, and who is told of
 * changes. No SQL of its own. */
#include "control/db.h"

#include <stdio.h>

#include "control/db_backend.h"
#include "control/schema.h"

#define WATCHERS_MAX 16
#define SQL_MAX (1U << 20)

static const struct ctl_backend *const backends[] = {
    &ctl_backend_sqlite,
#ifdef CTL_HAS_PQ
    &ctl_backend_postgres,
#endif
};

/* Who is told of changes, by a thread of its own: a watcher may use the database. */
struct ctl_watch {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_cond_t told;       /* a watcher has returned */
    struct ctl_db_notes notes; /* not told yet */
    bool running, stopping;
    unsigned count, telling; /* telling: the watcher that is being told, from 1; 0: none */
    struct {
        ctl_db_watch_fn fn;
        void *data;
    } watchers[WATCHERS_MAX];
};

void ctl_db_note(struct ctl_db_notes *notes, const char *what)
{
    for (unsigned i = 0; i < notes->count; i++)
        if (strcmp(notes->text[i], what) == 0)
            return;
    if (notes->count == CTL_NOTES_MAX || strlen(what) >= sizeof notes->text[0])
        notes->all = true;
    else
        snprintf(notes->text[notes->count++], sizeof notes->text[0], "%s", what);
}

void ctl_db_told(struct ctl_db *db, const struct ctl_db_notes *notes)
{
    struct ctl_watch *w = db->watch;

    if (!notes->all && notes->count == 0)
        return;
    pthread_mutex_lock(&w->mutex);
    w->notes.all |= notes->all;
    for (unsigned i = 0; i < notes->count; i++)
        ctl_db_note(&w->notes, notes->text[i]);
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void *tell(void *data)
{
    struct ctl_watch *w = data;
    struct ctl_db_notes now;

    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->stopping && !w->notes.all && w->notes.count == 0)
            pthread_cond_wait(&w->changed, &w->mutex);
        if (w->stopping)
            break;
        now = w->notes;
        w->notes = (struct ctl_db_notes){0};
        for (unsigned i = 0; i < w->count; i++) {
            ctl_db_watch_fn fn = w->watchers[i].fn;
            void *arg = w->watchers[i].data;

            if (!fn)
                continue;
            w->telling = i + 1;
            pthread_mutex_unlock(&w->mutex);
            for (unsigned k = 0; !now.all && k < now.count; k++)
                fn(arg, now.text[k]);
            if (now.all)
                fn(arg, NULL);
            pthread_mutex_lock(&w->mutex);
            w->telling = 0;
            pthread_cond_broadcast(&w->told);
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static struct ctl_watch *watch_new(void)
{
    struct ctl_watch *w = sv_alloc_zero(sizeof *w);

    if (!w)
        return NULL;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    pthread_cond_init(&w->told, NULL);
    w->running = pthread_create(&w->thread, NULL, tell, w) == 0;
    return w;
}

static void watch_delete(struct ctl_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (w->running)
        pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_cond_destroy(&w->told);
    pthread_mutex_destroy(&w->mutex);
    sv_free(w);
}

void ctl_db_watch(struct ctl_db *db, ctl_db_watch_fn fn, void *data)
{
    struct ctl_watch *w = db->watch;
    unsigned i = 0;

    pthread_mutex_lock(&w->mutex);
    while (i < w->count && w->watchers[i].fn)
        i++;
    if (i < WATCHERS_MAX) {
        w->watchers[i].fn = fn;
        w->watchers[i].data = data;
        w->count += i == w->count;
    }
    pthread_mutex_unlock(&w->mutex);
}

void ctl_db_unwatch(struct ctl_db *db, ctl_db_watch_fn fn, const void *data)
{
    struct ctl_watch *w = db->watch;

    pthread_mutex_lock(&w->mutex);
    for (unsigned i = 0; i < w->count; i++) {
        if (w->watchers[i].fn != fn || w->watchers[i].data != data)
            continue;
        w->watchers[i].fn = NULL;
        while (w->telling == i + 1)
            pthread_cond_wait(&w->told, &w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
}

int ctl_db_open(struct sv_err *err, const char *url, own struct ctl_db **ret)
{
    const struct ctl_backend *backend = NULL;
    struct ctl_watch *watch;
    struct ctl_db *db = NULL;
    int r;

    for (size_t i = 0; i < SV_COUNT(backends); i++)
        if (strncmp(url, backends[i]->scheme, strlen(backends[i]->scheme)) == 0)
            backend = backends[i];
    if (!backend)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "a database is 'sqlite:PATH' or, where libpq was there to build with, "
                       "'postgresql://...'");
    watch = watch_new();
    if (!watch || !watch->running) {
        watch_delete(watch);
        return sv_fail_nomem(err, "the database's watchers");
    }
    r = backend->open(err, url, watch, &db);
    if (r < 0) {
        watch_delete(watch);
        return r;
    }
    r = ctl_schema_update_own(db, err);
    if (r < 0)
        ctl_db_close(db);
    else
        *ret = db;
    return r;
}

void ctl_db_close(own struct ctl_db *db)
{
    struct ctl_watch *watch = db ? db->watch : NULL;

    if (!db)
        return;
    db->backend->close(db);
    watch_delete(watch);
}

bool ctl_db_is_shared(const struct ctl_db *db)
{
    return db->backend->shared;
}

static _Thread_local bool inside; /* a transaction */

int ctl_db_call(struct ctl_sql *sql, struct sv_err *err, ctl_db_fn fn, void *data)
{
    int r;

    inside = true;
    r = fn(sql, err, data);
    inside = false;
    return r;
}

static int check_outside(struct sv_err *err)
{
    return inside ? sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET,
                            "database: a transaction is asked for inside of another")
                  : 0;
}

int ctl_db_write(struct ctl_db *db, struct sv_err *err, ctl_db_fn fn, void *data)
{
    int r = check_outside(err);

    return r < 0 ? r : db->backend->write(db, err, fn, data);
}

int ctl_db_write_in_turn(struct ctl_db *db, struct sv_err *err, const char *turn, ctl_db_fn fn,
                         void *data)
{
    int r = check_outside(err);

    if (r < 0)
        return r;
    return db->backend->write_in_turn ? db->backend->write_in_turn(db, err, turn, fn, data)
                                      : db->backend->write(db, err, fn, data);
}

int ctl_db_read(struct ctl_db *db, struct sv_err *err, ctl_db_fn fn, void *data)
{
    int r = check_outside(err);

    return r < 0 ? r : db->backend->read(db, err, fn, data);
}

/* Put what the back end says for the words in braces; what is no word stays. */
static const char *expand(struct ctl_sql *sql, const char *text)
{
    const char *const(*words)[2] = sql->db->backend->words;
    struct sv_buf *out = &sql->expanded;
    const char *from = text, *open;

    sv_buf_clear(out);
    while ((open = strchr(from, '{'))) {
        size_t i = 0, len = strcspn(open, "}");

        while (words[i][0] &&
               (strlen(words[i][0]) != len - 1 || strncmp(words[i][0], open + 1, len - 1) != 0))
            i++;
        sv_buf_append(out, from, (size_t)(open - from));
        if (words[i][0])
            sv_buf_puts(out, words[i][1]);
        else
            sv_buf_append(out, open, open[len] ? len + 1 : len);
        from = open + (open[len] ? len + 1 : len);
    }
    sv_buf_puts(out, from);
    return out->failed ? NULL : sv_buf_cstr(out);
}

int ctl_sql_run(struct ctl_sql *sql, struct sv_err *err, const char *text,
                const struct ctl_param *params)
{
    if (strchr(text, '{')) {
        if (!sql->expanded.max)
            sv_buf_init(&sql->expanded, SQL_MAX);
        text = expand(sql, text);
        if (!text)
            return sv_fail_nomem(err, "a statement");
    }
    return sql->db->backend->run(sql, err, text, params);
}

int ctl_sql_next(struct ctl_sql *sql, struct sv_err *err)
{
    return sql->db->backend->next(sql, err);
}

int64_t ctl_sql_int(struct ctl_sql *sql, unsigned column)
{
    return sql->db->backend->integer(sql, column);
}

struct sv_str ctl_sql_str(struct ctl_sql *sql, unsigned column)
{
    return sql->db->backend->str(sql, column);
}

own char *ctl_sql_text(struct ctl_sql *sql, unsigned column)
{
    struct sv_str s = ctl_sql_str(sql, column);

    return s.ptr ? sv_strndup(s.ptr, s.len) : sv_strdup("");
}

bool ctl_sql_null(struct ctl_sql *sql, unsigned column)
{
    return sql->db->backend->null(sql, column);
}

unsigned ctl_sql_columns(struct ctl_sql *sql)
{
    return sql->db->backend->columns(sql);
}

const char *ctl_sql_name(struct ctl_sql *sql, unsigned column)
{
    return sql->db->backend->name(sql, column);
}

int ctl_sql_type(struct ctl_sql *sql, unsigned column)
{
    return sql->db->backend->type(sql, column);
}

int ctl_sql_renumber(struct ctl_sql *sql, struct sv_err *err, const char *table)
{
    return sql->db->backend->renumber(sql, err, table);
}

uint64_t ctl_sql_changes(struct ctl_sql *sql)
{
    return sql->db->backend->changes(sql);
}

void ctl_sql_notify(struct ctl_sql *sql, const char *what)
{
    ctl_db_note(&sql->notes, what);
}
