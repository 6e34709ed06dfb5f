/* What the verbs of ssvm-client share: the command line, messages, the project, the server. It is
 * started by `ssvm VERB`, which has read the options by its table: here they come in one spelling.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "platform/manifest.h"

enum cln_status { CLN_STATUS_ERROR = 1, CLN_STATUS_USAGE = 2 };

/* ssvm-client VERB [--NAME[=VALUE]...] -- [OPERAND...] */
struct cln_args {
    const char *verb;
    char **options;
    int noptions;
    char **operands;
    int noperands;
};
/* Its value, "" for one without; NULL: it was not given. */
const char *cln_option(const struct cln_args *, const char *name);
/* A number from 0 to max; false: it is none, which is reported. `otherwise` where it was not given.
 */
bool cln_option_number(const struct cln_args *, const char *name, uint64_t max, uint64_t otherwise,
                       uint64_t *ret);

/* One line "ssvm: TEXT" to standard error, or more where the text has more; control characters,
 * which may be a server's or a compiler's, become `?`. */
void cln_message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and CLN_STATUS_ERROR; CLN_STATUS_USAGE with a word about --help. */
int cln_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int cln_usage(const struct cln_args *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text of others to standard output, without control characters but newline and tab. */
void cln_print(const char *text, size_t len);
/* Flush standard output; CLN_STATUS_ERROR, reported, where it could not be written. */
int cln_finish(int status);

/* The first of `places`, relative to the folder of our own executable, that is there; false: none.
 */
bool cln_find_beside(const char *const *places, size_t n, char *ret, size_t size);
/* All of a file, or of standard input for "-"; at most max bytes. False: reported. */
bool cln_read_file(const char *path, size_t max, struct sv_buf *ret);
/* Whole or not at all, with these permissions. False: reported. */
bool cln_write_file(const char *path, const void *bytes, size_t len, unsigned mode);

/* ---- The project ---- */

struct cln_project {
    struct plat_manifest manifest;
    struct sv_buf text; /* of ssvm.yaml */
};
/* Go into the folder (NULL: where we are) and read its ssvm.yaml. A status; 0: cln_project_release
 * it. */
int cln_project_open(struct cln_project *, const char *dir);
void cln_project_release(struct cln_project *);
/* Read ssvm.yaml anew. On failure *why (NULL: reported instead) says why and the project is as it
 * was. */
int cln_project_read(struct cln_project *, struct sv_buf *why);
/* Run the build command; what it says goes to standard error, and to *said (NULL is allowed). 0
 * when the module is there then; else what is missing is said too. */
int cln_project_build(struct cln_project *, struct sv_buf *said);

int cln_new(const struct cln_args *);
int cln_build(const struct cln_args *);
int cln_dev(const struct cln_args *);
int cln_deploy(const struct cln_args *);
int cln_invoke(const struct cln_args *);
int cln_functions(const struct cln_args *);
int cln_rollback(const struct cln_args *);
int cln_logs(const struct cln_args *);
int cln_why(const struct cln_args *);
int cln_usage_of(const struct cln_args *);
int cln_secret(const struct cln_args *);
int cln_login(const struct cln_args *);

#endif
