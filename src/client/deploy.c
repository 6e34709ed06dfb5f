/* `ssvm deploy`: build, then publish module, manifest and static files as one version; rollback. */
#include "client/deploy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/show.h"
#include "platform/yaml.h"

#define SITE_DEPTH_MAX 32
#define SITE_FILES_MAX 10000

static bool add_part(curl_mime *form, const char *name, const char *file, const char *type)
{
    curl_mimepart *part = curl_mime_addpart(form);

    /* The name of a file is told, though nobody looks at it: without one a part is a field. */
    return part && curl_mime_name(part, name) == CURLE_OK &&
           curl_mime_filedata(part, file) == CURLE_OK &&
           curl_mime_filename(part, name) == CURLE_OK && curl_mime_type(part, type) == CURLE_OK;
}

struct site {
    curl_mime *form;
    unsigned files;
    char path[4096]; /* of what is looked at */
    size_t root_len; /* of the site's folder in it */
};

static bool add_folder(struct site *site, unsigned depth);

static bool add_entry(struct site *site, const char *name, unsigned depth)
{
    size_t len = strlen(site->path);
    char part[4096 + 8];
    struct stat st;
    bool ok;

    if (name[0] == '.' && strcmp(name, ".well-known") != 0)
        return true; /* is not served */
    if ((size_t)snprintf(site->path + len, sizeof site->path - len, "/%s", name) >=
        sizeof site->path - len) {
        cln_message("'%s' has too long a path", name);
        return false;
    }
    ok = lstat(site->path, &st) == 0;
    if (!ok) {
        cln_message("'%s': %s", site->path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        ok = add_folder(site, depth + 1);
    } else if (!S_ISREG(st.st_mode)) {
        cln_message("warning: '%s' is no file and is left out", site->path);
    } else {
        snprintf(part, sizeof part, "site%s", site->path + site->root_len);
        ok = ++site->files <= SITE_FILES_MAX &&
             add_part(site->form, part, site->path, "application/octet-stream");
        if (!ok)
            cln_message("'%s' cannot be added: %s", site->path,
                        site->files > SITE_FILES_MAX ? "too many files" : "unreadable");
    }
    site->path[len] = '\0';
    return ok;
}

static bool add_folder(struct site *site, unsigned depth)
{
    struct dirent **names = NULL;
    int n = depth < SITE_DEPTH_MAX ? scandir(site->path, &names, NULL, alphasort) : -1;
    bool ok = n >= 0;

    if (!ok)
        cln_message("cannot read '%s': %s", site->path,
                    depth < SITE_DEPTH_MAX ? strerror(errno) : "nested too deeply");
    for (int i = 0; i < n; i++) {
        if (ok && strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0)
            ok = add_entry(site, names[i]->d_name, depth);
        free(names[i]);
    }
    free(names);
    return ok;
}

static bool add_site(curl_mime *form, const char *dir)
{
    struct site site = {.form = form};

    site.root_len = (size_t)snprintf(site.path, sizeof site.path, "%s", dir);
    return add_folder(&site, 0);
}

static curl_mime *make_form(struct cln_server *server, const struct cln_project *project)
{
    const struct plat_manifest *m = &project->manifest;
    curl_mime *form = curl_mime_init(server->curl);
    curl_mimepart *part = form ? curl_mime_addpart(form) : NULL;
    bool ok =
        part && curl_mime_name(part, "manifest") == CURLE_OK &&
        curl_mime_data(part, (const char *)project->text.data, project->text.len) == CURLE_OK &&
        curl_mime_type(part, "application/yaml") == CURLE_OK;

    if (!ok)
        cln_message("out of memory");
    if (ok && *m->module && !add_part(form, "wasm", m->module, "application/wasm")) {
        cln_message("cannot read '%s'", m->module);
        ok = false;
    }
    if (ok && m->site.given && !add_site(form, m->site.dir))
        ok = false;
    if (ok)
        return form;
    curl_mime_free(form);
    return NULL;
}

/* What is refused has its reasons line by line. */
int cln_deploy_send(struct cln_server *server, const struct cln_project *project,
                    const struct cln_deploy *deploy, json_t **ret_json, struct sv_buf *why)
{
    struct cln_body body = {.form = make_form(server, project)};
    struct cln_reply reply = {0};
    struct sv_buf path;
    char weight[16];
    int status = body.form ? 0 : CLN_STATUS_ERROR;

    *ret_json = NULL;
    sv_buf_init(&path, CLN_PATH_MAX);
    cln_path(server, &path, CLN_PARTS("functions", project->manifest.name));
    snprintf(weight, sizeof weight, "%u", deploy->weight);
    cln_query(&path, "weight", deploy->weight ? weight : NULL);
    cln_query(&path, "switch", deploy->no_requests ? "off" : NULL);
    cln_query(&path, "native", deploy->no_native ? "off" : NULL);
    cln_query(&path, "alias", deploy->alias);
    if (status == 0)
        status = cln_server_send(server, "PUT", sv_buf_cstr(&path), &body, &reply);
    if (status == 0 && reply.status >= 200 && reply.status < 300) {
        *ret_json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
    } else if (status == 0) {
        const char *message = NULL;
        json_t *json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);

        json_unpack(json, "{s:{s:s}}", "error", "message", &message);
        if (why)
            sv_buf_puts(why, message ? message : "the server refused it");
        json_decref(json);
        status = cln_server_refused(server, "the version was not accepted", &reply);
    }
    curl_mime_free(body.form);
    sv_buf_release(&path);
    cln_reply_release(&reply);
    return status;
}

static int show(json_t *json)
{
    const char *name = "?", *digest = "", *url = "", *note = "", *key = "";
    json_int_t number = 0;
    int is_new = 1;

    json_unpack(json, "{s?s,s?I,s?s,s?s,s?s,s?b,s?s}", "function", &name, "number", &number,
                "digest", &digest, "url", &url, "note", &note, "is_new", &is_new, "usage_key",
                &key);
    if (*note)
        cln_message("%s", note);
    printf("%s: version %lld (%.12s)%s\n%s\n", name, (long long)number, digest,
           is_new ? "" : ", which was there already", url);
    if (*key) {
        printf("usage key, shown this once (callers send it as SSVM-Usage-Key): ");
        cln_print(key, strlen(key));
        putchar('\n');
    }
    return cln_finish(0);
}

static int print_checked(const struct plat_manifest *m)
{
    struct sv_buf text;

    sv_buf_init(&text, PLAT_YAML_BYTES_MAX);
    plat_manifest_print(m, &text);
    fputs(sv_buf_cstr(&text), stdout);
    sv_buf_release(&text);
    return cln_finish(0);
}

static int print_schema(void)
{
    struct sv_buf text;

    sv_buf_init(&text, PLAT_YAML_BYTES_MAX);
    plat_manifest_schema(&text);
    fputs(sv_buf_cstr(&text), stdout);
    sv_buf_release(&text);
    return cln_finish(0);
}

static int deploy(const struct cln_args *args, struct cln_project *project,
                  const struct cln_deploy *how, int started_in)
{
    struct cln_server server;
    json_t *json = NULL;
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), status;

    /* Paths of options are relative to where we were started. The server comes first: who cannot
     * reach it does not wait for a build. */
    if (here < 0 || fchdir(started_in) < 0)
        return cln_fail("cannot go back to where we were started: %s", strerror(errno));
    status = cln_server_open(&server, args);
    if (status == 0 && fchdir(here) < 0)
        status = cln_fail("cannot go into the project: %s", strerror(errno));
    close(here);
    if (status != 0)
        return status;
    if (!cln_option(args, "no-build"))
        status = cln_project_build(project, NULL);
    if (status == 0)
        status = cln_deploy_send(&server, project, how, &json, NULL);
    cln_server_close(&server);
    if (status == 0)
        status = show(json);
    json_decref(json);
    return status;
}

int cln_deploy(const struct cln_args *args)
{
    struct cln_deploy how = {.alias = cln_option(args, "alias")};
    struct cln_project project;
    uint64_t percent;
    int status, started_in;

    if (cln_option(args, "schema"))
        return print_schema();
    if (args->noperands > 1)
        return cln_usage(args, "one folder at most");
    if (!cln_option_number(args, "split", 100, 100, &percent))
        return CLN_STATUS_USAGE;
    how.weight = percent == 100 ? 0 : (unsigned)percent * 100;
    how.no_requests = percent == 0;
    if (how.alias && !plat_name_valid(how.alias, strlen(how.alias)))
        return cln_usage(args, "'%s' is no alias: letters, digits, '-', '_'", how.alias);
    started_in = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    status = cln_project_open(&project, args->noperands ? args->operands[0] : NULL);
    if (status == 0)
        status = cln_option(args, "check") ? print_checked(&project.manifest)
                                           : deploy(args, &project, &how, started_in);
    cln_project_release(&project);
    if (started_in >= 0)
        close(started_in);
    return status;
}

int cln_rollback(const struct cln_args *args)
{
    struct cln_body body = {.type = "application/json"};
    struct cln_server server;
    struct sv_buf path, text;
    json_t *json = NULL;
    int status;

    if (args->noperands < 1 || args->noperands > 2)
        return cln_usage(args, "which function?");
    status = cln_server_open(&server, args);
    if (status != 0)
        return status;
    sv_buf_init(&path, CLN_PATH_MAX);
    sv_buf_init(&text, CLN_PATH_MAX);
    sv_buf_putc(&text, '{');
    if (args->noperands == 2) {
        sv_buf_puts(&text, "\"version\": ");
        sv_buf_json_string(&text, args->operands[1], strlen(args->operands[1]));
    }
    sv_buf_putc(&text, '}');
    body.bytes = sv_buf_cstr(&text);
    body.len = text.len;
    cln_path(&server, &path, CLN_PARTS("functions", args->operands[0], "rollback"));
    status = cln_server_ask(&server, "rolling back", "POST", sv_buf_cstr(&path), &body, &json);
    if (status == 0)
        cln_show_targets(json);
    json_decref(json);
    sv_buf_release(&text);
    sv_buf_release(&path);
    cln_server_close(&server);
    return cln_finish(status);
}
