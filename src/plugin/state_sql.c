/* A guest's own SQL, on a file that is his alone: what leads to other files, to other settings or
 * out of the statement's transaction is refused. */
#include <stdio.h>

#include "plugin/state.h"

#define COLUMNS_MAX 200
#define PAGES_MAX 262144 /* 1 GiB of 4 KiB */

static int authorise(void *data, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
    (void)data, (void)c, (void)d;
    switch (action) {
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return SQLITE_DENY;
    case SQLITE_PRAGMA:
        return b == NULL || (a && (strcmp(a, "table_info") == 0 || strcmp(a, "index_list") == 0 ||
                                   strcmp(a, "index_info") == 0))
                   ? SQLITE_OK
                   : SQLITE_DENY;
    case SQLITE_FUNCTION:
        return b && strcmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default:
        return SQLITE_OK;
    }
}

int state_sql_open(struct state_db *db, const char *path, char *error)
{
    char text[64];

    if (state_db_open(db, path, error) < 0)
        return -1;
    snprintf(text, sizeof text, "pragma max_page_count = %d", PAGES_MAX);
    sqlite3_exec(db->db, text, NULL, NULL, NULL);
    sqlite3_exec(db->db, "pragma foreign_keys = on", NULL, NULL, NULL);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_limit(db->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db->db, SQLITE_LIMIT_LENGTH, 64 << 20);
    sqlite3_limit(db->db, SQLITE_LIMIT_COLUMN, COLUMNS_MAX);
    sqlite3_limit(db->db, SQLITE_LIMIT_EXPR_DEPTH, 200);
    sqlite3_set_authorizer(db->db, authorise, NULL);
    return 0;
}

static int bind_params(sqlite3_stmt *stmt, ssvm_state_bytes params, ssvm_state_op *op)
{
    ssvm_state_value v;
    size_t at = 0;
    int n = 0, r = SQLITE_OK;

    while (r == SQLITE_OK && ssvm_state_value_read(params, &at, &v)) {
        const void *bytes = v.bytes.len > 0 ? v.bytes.ptr : "";

        n++;
        if (v.type == SSVM_STATE_INT)
            r = sqlite3_bind_int64(stmt, n, v.i);
        else if (v.type == SSVM_STATE_FLOAT)
            r = sqlite3_bind_double(stmt, n, v.f);
        else if (v.type == SSVM_STATE_TEXT)
            r = sqlite3_bind_text64(stmt, n, bytes, v.bytes.len, SQLITE_STATIC, SQLITE_UTF8);
        else if (v.type == SSVM_STATE_BLOB)
            r = sqlite3_bind_blob64(stmt, n, bytes, v.bytes.len, SQLITE_STATIC);
        else
            r = sqlite3_bind_null(stmt, n);
    }
    if (r == SQLITE_RANGE || (r == SQLITE_OK && n != sqlite3_bind_parameter_count(stmt))) {
        snprintf(op->error, sizeof op->error, "the statement has %d parameters",
                 sqlite3_bind_parameter_count(stmt));
        return SSVM_STATE_EINVAL;
    }
    return r;
}

static bool put_head(sqlite3_stmt *stmt, ssvm_state_op *op)
{
    int n = sqlite3_column_count(stmt);
    uint8_t head[4] = {(uint8_t)n, (uint8_t)(n >> 8), 0, 0};
    bool ok = ssvm_state_put(op, SSVM_STATE_BODY, head, sizeof head);

    for (int i = 0; i < n && ok; i++) {
        const char *name = sqlite3_column_name(stmt, i);

        ok = name && ssvm_state_put_text(op, name, strlen(name));
    }
    return ok;
}

static bool put_row(sqlite3_stmt *stmt, ssvm_state_op *op)
{
    int n = sqlite3_column_count(stmt);
    bool ok = true;

    for (int i = 0; i < n && ok; i++) {
        ssvm_state_value v = {0};

        switch (sqlite3_column_type(stmt, i)) {
        case SQLITE_INTEGER:
            v.type = SSVM_STATE_INT;
            v.i = sqlite3_column_int64(stmt, i);
            break;
        case SQLITE_FLOAT:
            v.type = SSVM_STATE_FLOAT;
            v.f = sqlite3_column_double(stmt, i);
            break;
        case SQLITE_TEXT:
            v.type = SSVM_STATE_TEXT;
            v.bytes.ptr = sqlite3_column_text(stmt, i);
            v.bytes.len = (size_t)sqlite3_column_bytes(stmt, i);
            break;
        case SQLITE_BLOB:
            v.type = SSVM_STATE_BLOB;
            v.bytes.ptr = sqlite3_column_blob(stmt, i);
            v.bytes.len = (size_t)sqlite3_column_bytes(stmt, i);
            break;
        default:
            v.type = SSVM_STATE_NULL;
        }
        ok = ssvm_state_put_value(op, &v);
    }
    return ok;
}

static int run(struct state_db *db, sqlite3_stmt *stmt, ssvm_state_op *op)
{
    int before = sqlite3_total_changes(db->db);
    int r = put_head(stmt, op) ? SQLITE_ROW : SSVM_STATE_ELIMIT;

    while (r == SQLITE_ROW) {
        r = sqlite3_step(stmt);
        if (r == SQLITE_ROW && !put_row(stmt, op))
            r = SSVM_STATE_ELIMIT;
    }
    if (r != SQLITE_DONE)
        return r;
    op->number = sqlite3_total_changes(db->db) - before;
    return SSVM_STATE_OK;
}

int state_sql(void *data, ssvm_state_op *op, ssvm_state_bytes text, ssvm_state_bytes params)
{
    struct state_db *db = &((struct state_files *)data)->sql;
    sqlite3_stmt *stmt = NULL;
    const char *rest = NULL;
    int r;

    state_db_enter(db, op);
    r = sqlite3_prepare_v2(db->db, text.ptr, (int)text.len, &stmt, &rest);
    if (r == SQLITE_OK && !stmt) {
        snprintf(op->error, sizeof op->error, "there is no statement");
        r = SSVM_STATE_EINVAL;
    }
    while (r == SQLITE_OK && rest < (const char *)text.ptr + text.len &&
           strchr(" \t\r\n;", *rest)) /* text holds no NUL */
        rest++;
    if (r == SQLITE_OK && rest < (const char *)text.ptr + text.len) {
        snprintf(op->error, sizeof op->error, "more than one statement");
        r = SSVM_STATE_EINVAL;
    }
    if (r == SQLITE_OK)
        r = bind_params(stmt, params, op);
    if (r == SQLITE_OK)
        r = run(db, stmt, op);
    if (r > 0) {
        /* The words before they are lost to what ends the statement. */
        r = state_db_leave(db, op, r);
        state_db_enter(db, op);
    }
    sqlite3_finalize(stmt);
    return state_db_leave(db, op, r);
}
