/* What chaos.py calls: a function that writes into its tenant's keys as the body says. It answers
 * "ok" and a number only when that is done. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssvm_state.h"

static int answer(int status, long long n)
{
    printf("Status: %d\nContent-Type: text/plain\n\n%s %lld", status, status == 200 ? "ok" : "no",
           n);
    return 0;
}

static int add(const char *key)
{
    int64_t sum = 0;
    int r = ssvm_kv_increment(key, strlen(key), 1, 0, &sum);

    return answer(r == 0 ? 200 : 500, r == 0 ? sum : r);
}

/* The number behind the key becomes one more, if nobody else was faster. */
static int cas(const char *key)
{
    char old[32] = "", new[32];
    int32_t handle = ssvm_kv_get(key, strlen(key)), r;
    uint32_t len = UINT32_MAX;

    if (handle > 0) {
        len = ssvm_state_read(handle, old, sizeof old - 1);
        old[len] = '\0';
    } else if (handle != -1)
        return answer(500, handle);
    snprintf(new, sizeof new, "%lld", atoll(old) + 1);
    r = ssvm_kv_cas(key, strlen(key), old, len, new, strlen(new), 0);
    return answer(r == 0 ? 200 : r == -6 ? 409 : 500, r == 0 ? atoll(new) : r);
}

static int push(const char *number)
{
    int64_t id = 0;
    int r = ssvm_queue_push("chaos", 5, "", 0, number, strlen(number), 0, &id);

    return answer(r == 0 ? 200 : 500, r == 0 ? id : r);
}

int main(void)
{
    char what[16] = "", key[64] = "", value[64] = "", all[96];
    const char *job = getenv("HTTP_SSVM_JOB_ID");

    scanf("%15s %63s %63s", what, key, value);
    if (strcmp(what, "cron") == 0) {
        snprintf(all, sizeof all, "cron/%s", job ? job : "none");
        return add(all);
    }
    if (strcmp(what, "set") == 0) {
        int r = ssvm_kv_set(key, strlen(key), value, strlen(value), 0);

        return answer(r == 0 ? 200 : 500, r);
    }
    if (strcmp(what, "add") == 0)
        return add(key);
    if (strcmp(what, "cas") == 0)
        return cas(key);
    if (strcmp(what, "push") == 0) {
        snprintf(all, sizeof all, "add %s", key);
        return push(all);
    }
    return answer(400, 0);
}
