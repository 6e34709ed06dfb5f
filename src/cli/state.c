/* State for guests of `run`: what --kv, --sql, --secret, --allow-http and --storage grant. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define SECRET_MAX 65536 /* bytes of one from a file */

bool cli_state_init(struct cli_state *s, size_t n)
{
    *s = (struct cli_state){
        .files = SSVM_STATE_FILES_INIT,
        .grant = SSVM_STATE_GRANT_INIT,
        .storage = SSVM_STATE_FILES_INIT,
        .storage_grant = SSVM_STATE_GRANT_INIT,
        .secrets = calloc(n, sizeof *s->secrets),
        .hosts = calloc(n, sizeof *s->hosts),
    };
    s->files.secrets = (const char *const *)s->secrets;
    s->files.hosts = s->hosts;
    return s->secrets && s->hosts;
}

/* "NAME=" and what is in the file, without its last line feed. NULL = reported. */
static own char *read_secret(const char *name, size_t name_len, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = name_len + 1;
    ssize_t n = 0;
    char *text;

    if (fd < 0) {
        cli_message("'%s': %s", path, strerror(errno));
        return NULL;
    }
    text = malloc(name_len + SECRET_MAX + 3);
    if (text) {
        memcpy(text, name, name_len);
        text[name_len] = '=';
        while (len - name_len <= SECRET_MAX + 1 &&
               (n = read(fd, text + len, SECRET_MAX + 2 - (len - name_len))) > 0)
            len += (size_t)n;
        if (len > name_len + 1 && text[len - 1] == '\n')
            len--;
        text[len] = '\0';
    }
    if (!text || n < 0 || len - name_len - 1 > SECRET_MAX || strlen(text) != len) {
        cli_message("'%s': %s", path,
                    n < 0 ? strerror(errno) : "not a secret: too large, or it has a NUL");
        free(text);
        text = NULL;
    }
    close(fd);
    return text;
}

bool cli_state_add_secret(struct cli_state *s, const struct cli_args *args)
{
    const char *text = args->value, *eq = strchr(text, '=');
    char *secret;

    if (!eq || eq == text) {
        cli_usage(args->verb, "option '--secret': expected NAME=VALUE or NAME=@FILE");
        return false;
    }
    if (eq[1] == '@' && eq[2] != '@') {
        secret = read_secret(text, (size_t)(eq - text), eq + 2);
    } else {
        secret = strdup(text);
        if (secret && eq[1] == '@') /* @@X is the text @X */
            memmove(secret + (eq - text) + 1, secret + (eq - text) + 2, strlen(eq + 2) + 1);
    }
    if (secret)
        s->secrets[s->files.nsecrets++] = secret;
    return secret != NULL;
}

bool cli_state_add_host(struct cli_state *s, const char *host)
{
    s->hosts[s->files.nhosts++] = host;
    return true;
}

own ssvm_error *cli_state_define(struct cli_state *s, ssvm_linker *linker)
{
    ssvm_error *e = NULL;

    if (s->files.kv || s->files.sql || s->files.nsecrets > 0 || s->files.nhosts > 0) {
        e = ssvm_state_files_open(&s->files, &s->grant);
        if (!e)
            e = ssvm_linker_define_state(linker, &s->grant);
    }
    if (e || !s->storage.kv)
        return e;
    e = ssvm_state_files_open(&s->storage, &s->storage_grant);
    return e ? e : ssvm_linker_define_storage(linker, &s->storage_grant);
}

void cli_state_release(struct cli_state *s)
{
    ssvm_state_files_close(&s->grant);
    ssvm_state_files_close(&s->storage_grant);
    for (size_t i = 0; i < s->files.nsecrets; i++)
        free(s->secrets[i]);
    free(s->secrets);
    free(s->hosts);
}
