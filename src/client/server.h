/* The server that is talked to: which one, with what token; requests of its interface /v1. */
#ifndef CLIENT_SERVER_H
#define CLIENT_SERVER_H

#include <curl/curl.h>

#include "client/client.h"

struct cln_server {
    char *url;   /* without a slash at its end */
    char *token; /* NULL: none */
    char *tenant;
    const char *token_from; /* for messages */
    CURL *curl;
    char error[CURL_ERROR_SIZE];
    char *ca; /* file of certificates; NULL: the system's */
};
/* By the options, the environment and ~/.config/ssvm/servers. 0, or a status. */
int cln_server_open(struct cln_server *, const struct cln_args *);
/* Likewise, with this URL and token, which are taken. */
int cln_server_open_as(struct cln_server *, const char *url, own char *token, const char *tenant);
void cln_server_close(struct cln_server *);

struct cln_reply {
    long status; /* of HTTP */
    struct sv_buf body;
    struct sv_buf request_id;
    struct sv_buf type;
};
void cln_reply_release(struct cln_reply *);

/* What is sent: nothing, bytes, or a form. */
struct cln_body {
    const void *bytes;
    size_t len;
    const char *type; /* NULL: of no type */
    curl_mime *form;
};
/* `path` is behind the URL. 0: there is an answer, whatever its status; else a status of ours, with
 * the reason told. Release *ret in any case. */
int cln_server_send(struct cln_server *, const char *method, const char *path,
                    const struct cln_body *, struct cln_reply *ret);
/* The same, with an answer of 2xx as JSON (NULL: none is expected; *ret_json is the caller's). Else
 * `what` failed: it is told why. */
int cln_server_ask(struct cln_server *, const char *what, const char *method, const char *path,
                   const struct cln_body *, json_t **ret_json);
/* Tell what an answer that is no success says. Returns CLN_STATUS_ERROR. */
int cln_server_refused(const struct cln_server *, const char *what, struct cln_reply *);

/* "/v1/tenants/TENANT/PART/...", the parts percent-encoded; NULL ends them. */
#define CLN_PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})
void cln_path(const struct cln_server *, struct sv_buf *ret, const char *const *parts);
void cln_encode(struct sv_buf *, const char *text); /* append it percent-encoded */
/* Append "NAME=VALUE", encoded, behind ? or &. Nothing for NULL. */
void cln_query(struct sv_buf *path, const char *name, const char *value);

#define CLN_PATH_MAX (64U << 10)
#define CLN_MODULE_MAX (1U << 30)

#endif
