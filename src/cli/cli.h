/* What the verbs of the command line share: the tables, the option parser, messages. Uses ssvm.h
 * alone; no verb knows another. */
#ifndef SSVM_CLI_CLI_H
#define SSVM_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssvm.h"

/* Exit statuses beside the guest's own (man page, EXIT STATUS). */
enum cli_status { CLI_STATUS_ERROR = 1, CLI_STATUS_USAGE = 2, CLI_STATUS_TRAP = 128 + 6 };

/* Verbs as bits, for the option table. */
enum cli_verb_bit {
    CLI_VERB_RUN = 1 << 0,
    CLI_VERB_INSPECT = 1 << 1,
    CLI_VERB_SERVE = 1 << 2,
    CLI_VERB_HELP = 1 << 3,
    CLI_VERB_COMPLETION = 1 << 4,
    CLI_VERB_COMPILE = 1 << 5,
    CLI_VERB_SNAPSHOT = 1 << 6,
    CLI_VERB_NN = 1 << 7,
    /* Of ssvm-client. */
    CLI_VERB_NEW = 1 << 8,
    CLI_VERB_BUILD = 1 << 9,
    CLI_VERB_DEV = 1 << 10,
    CLI_VERB_DEPLOY = 1 << 11,
    CLI_VERB_INVOKE = 1 << 12,
    CLI_VERB_FUNCTIONS = 1 << 13,
    CLI_VERB_LOGS = 1 << 14,
    CLI_VERB_ROLLBACK = 1 << 15,
    CLI_VERB_WHY = 1 << 16,
    CLI_VERB_USAGE = 1 << 17,
    CLI_VERB_SECRET = 1 << 18,
    CLI_VERB_LOGIN = 1 << 19,
    CLI_VERB_CONTROL = 1 << 20,
    CLI_VERB_RUN_COMPILE = CLI_VERB_RUN | CLI_VERB_COMPILE,
    /* Those that talk to a server. */
    CLI_VERB_REMOTE = CLI_VERB_DEPLOY | CLI_VERB_INVOKE | CLI_VERB_FUNCTIONS | CLI_VERB_LOGS |
                      CLI_VERB_ROLLBACK | CLI_VERB_WHY | CLI_VERB_USAGE | CLI_VERB_SECRET,
    CLI_VERB_REMOTE_LOGIN = CLI_VERB_REMOTE | CLI_VERB_LOGIN,
    CLI_VERB_ANY = CLI_VERB_RUN | CLI_VERB_INSPECT | CLI_VERB_HELP | CLI_VERB_COMPLETION |
                   CLI_VERB_COMPILE | CLI_VERB_SNAPSHOT | CLI_VERB_NN | CLI_VERB_NEW |
                   CLI_VERB_BUILD | CLI_VERB_DEV | CLI_VERB_CONTROL | CLI_VERB_REMOTE_LOGIN
};

struct cli_verb {
    const char *name, *synopsis, *doc;
    unsigned bit;
    int (*main)(int argc, char **argv); /* argv[0] is the verb */
};
extern const struct cli_verb cli_verbs[];
extern const unsigned cli_nverbs;
const struct cli_verb *cli_verb_find(const char *name); /* NULL when there is none */

int cli_run(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_compile(int argc, char **argv);
int cli_snapshot(int argc, char **argv);
int cli_nn(int argc, char **argv);
int cli_serve(int argc, char **argv);
int cli_control(int argc, char **argv);
int cli_client(int argc, char **argv); /* all verbs of ssvm-client */
int cli_help(int argc, char **argv);
int cli_completion(int argc, char **argv);

/* ---- Options ---- */

enum cli_option_kind { CLI_OPTION_GROUP, CLI_OPTION_FLAG, CLI_OPTION_VALUE, CLI_OPTION_OPTIONAL };

enum cli_option_id {
    CLI_BAD = -2, /* wrong usage, already reported */
    CLI_END = -1, /* no more options; args->next is the first operand */
    CLI_GROUP,
    CLI_ENABLE, /* value: the feature's name */
    CLI_DISABLE,
    CLI_ALLOW_AF_UNIX,
    CLI_ALLOW_COMMAND,
    CLI_ALLOW_COMMAND_ALL,
    CLI_ALLOW_CONNECT,
    CLI_ALLOW_HTTP,
    CLI_ALLOW_LISTEN,
    CLI_CACHE,
    CLI_CPU,
    CLI_CPU_LIMIT,
    CLI_DEBUG,
    CLI_DETERMINISTIC,
    CLI_DIR,
    CLI_ENABLE_ALL,
    CLI_ENV,
    CLI_FILL_CACHE,
    CLI_STARTER,
    CLI_FORM,
    CLI_FROM,
    CLI_LOOP,
    CLI_GAS_LIMIT,
    CLI_GAS_TABLE,
    CLI_GC_HEAP_LIMIT,
    CLI_GC_STRESS,
    CLI_HELP,
    CLI_HOST,
    CLI_IMAGE,
    CLI_INHERIT_ENV,
    CLI_INIT,
    CLI_INVOKE,
    CLI_JOBS,
    CLI_JSON,
    CLI_KV,
    CLI_LINK,
    CLI_MAN,
    CLI_MAX_FILES,
    CLI_NN,
    CLI_NN_DEVICE,
    CLI_NN_ISOLATE,
    CLI_NN_MODEL,
    CLI_NN_OLD_TYPES,
    CLI_NN_THREADS,
    CLI_THREADS,
    CLI_MEMORY_LIMIT,
    CLI_MEMORY_PAGES,
    CLI_METERED,
    CLI_NO_GUARD,
    CLI_OPTIMISE,
    CLI_OUTPUT,
    CLI_OUTPUT_LIMIT,
    CLI_PERF_MAP,
    CLI_PROFILE,
    CLI_REACTOR,
    CLI_RESULT,
    CLI_SECRET,
    CLI_SQL,
    CLI_STORAGE,
    CLI_STACK_LIMIT,
    CLI_STATS,
    CLI_TARGET,
    CLI_TIER,
    CLI_TIME_LIMIT,
    CLI_TO,
    CLI_TRUST_NATIVE,
    CLI_VERSION,
    /* Of ssvm-client, which gets them by name. */
    CLI_ALIAS,
    CLI_BY,
    CLI_CA,
    CLI_CHECK,
    CLI_CSV,
    CLI_DELETE,
    CLI_FOLLOW,
    CLI_FROM_TIME,
    CLI_LANG,
    CLI_LEVEL,
    CLI_LINES,
    CLI_LISTEN,
    CLI_NO_BUILD,
    CLI_BACKUP,
    CLI_RESTORE,
    CLI_VERIFY,
    CLI_ROTATE_KEY,
    CLI_DATA,
    CLI_DATABASE,
    CLI_WITH_KEY,
    CLI_WITHOUT_SQL,
    CLI_REQUEST,
    CLI_SCHEMA,
    CLI_SERVER,
    CLI_SPLIT,
    CLI_STEP,
    CLI_TEMPLATE,
    CLI_TENANT,
    CLI_TOKEN_FILE,
    CLI_UNTIL
};

struct cli_option {
    int8_t id;    /* enum cli_option_id */
    uint8_t kind; /* enum cli_option_kind */
    uint32_t verbs;
    const char *name, *arg, *doc; /* of a group: name is NULL, doc the heading */
};
extern const struct cli_option cli_options[];
extern const unsigned cli_noptions;

/* The command line of one verb, read from left to right. */
struct cli_args {
    int argc, next;
    char **argv;
    const struct cli_verb *verb;
    const struct cli_option *option; /* the last one that was read */
    const char *value;               /* its value, NULL without one */
};
void cli_args_init(struct cli_args *, int argc, char **argv);
/* Read the next option: its id, CLI_END at the first operand (`--` is skipped), CLI_BAD. --help and
 * --version are the verb's to answer. */
int cli_args_next(struct cli_args *);
/* The value as a number of at least 1; false = reported. Sizes take K, M, G (powers of 1024) and an
 * optional B or iB. */
bool cli_args_number(const struct cli_args *, uint64_t max, uint64_t *ret);
bool cli_args_size(const struct cli_args *, uint64_t *ret);

/* Arguments of a typed call, as texts of the command line: @FILE and - are bytes, @@X is the text
 * @X, after -- everything is text. False = reported; nothing is then held. */
struct cli_values {
    ssvm_arg *args;
    size_t n;
};
bool cli_values_read(char **argv, int argc, struct cli_values *ret);
void cli_values_release(struct cli_values *);
#define CLI_FILE_MAX (1ull << 30) /* bytes that are read whole */
/* The whole of a file, of `max` bytes at most; `fd` is closed unless it is standard input. *ret: to
 * free. False = reported. */
bool cli_read_all(const char *name, int fd, size_t max, own char **ret, size_t *ret_len);

/* The module, with the costs of --gas-table: of that file, of its own (CLI_COSTS_OF_MODULE), or as
 * usual (NULL); an engine with module_costs is needed but for the last. 0, or the exit status of a
 * failure, which is reported. */
#define CLI_COSTS_OF_MODULE "module"
int cli_module_open(ssvm_engine *, const char *file, const char *costs, own ssvm_module **ret);

/* What --kv, --sql, --secret, --allow-http and --storage grant, each at most n times. */
struct cli_state {
    ssvm_state_files files, storage; /* storage: its kv */
    ssvm_state_grant grant, storage_grant;
    char **secrets; /* owned */
    const char **hosts;
};
bool cli_state_init(struct cli_state *, size_t n);                      /* false: out of memory */
void cli_state_release(struct cli_state *);                             /* when the guest is over */
bool cli_state_add_secret(struct cli_state *, const struct cli_args *); /* false = reported */
bool cli_state_add_host(struct cli_state *, const char *host);
/* Nothing granted: nothing is opened. */
own ssvm_error *cli_state_define(struct cli_state *, ssvm_linker *);

/* What --allow-connect, --allow-listen and --allow-af-unix grant, each at most n times. */
struct cli_sockets {
    ssvm_sockets grant;
    const char **connect, **listen;
};
bool cli_sockets_init(struct cli_sockets *, size_t n); /* false: out of memory */
void cli_sockets_release(struct cli_sockets *);
bool cli_sockets_add(struct cli_sockets *, const char *address, bool listen);
/* Nothing granted: nothing is opened. */
own ssvm_error *cli_sockets_define(struct cli_sockets *, ssvm_linker *);

/* What --allow-command and --allow-command-all grant. */
struct cli_process {
    ssvm_process_config config;
    const char **commands;
    ssvm_process *process;
};
bool cli_process_init(struct cli_process *, size_t n); /* of n at most; false: out of memory */
void cli_process_release(struct cli_process *);
bool cli_process_allow(struct cli_process *, const char *command); /* NULL: all */
/* Nothing granted: nothing is opened. */
own ssvm_error *cli_process_define(struct cli_process *, ssvm_linker *);

/* The name nearest to `name`, of `n` names at `names` (stride bytes apart), or NULL when none is
 * near. */
const char *cli_nearest(const char *name, const char *const *names, size_t n);

/* ---- Messages ---- */

/* "ssvm: TEXT" and a newline to standard error; control characters become `?` (names come from
 * hostile files). */
void cli_message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Wrong usage: the message, then how to get help. Returns CLI_STATUS_USAGE. */
int cli_usage(const struct cli_verb *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Report an error about `file` (NULL = none): one line, then the backtrace. Returns the exit
 * status; deletes the error. */
int cli_error(const char *file, own ssvm_error *);
/* All of it to standard output; false = reported. */
bool cli_write(const void *bytes, size_t len);
/* Write a file, whole or not at all: beside its name and then over it. 0, or the exit status of a
 * failure, which is reported. */
int cli_write_file(const char *path, const char *bytes, size_t len);
/* Flush stdio's standard output; `status`, or CLI_STATUS_ERROR (reported) when the output could not
 * be written. */
int cli_finish(int status);

/* From now on SIGINT, SIGTERM and SIGHUP stop what runs in the store, and end us when the caller
 * has released what is ours (5 s later if it has not). Once. */
void cli_ending_catch(ssvm_store *);
void cli_ending_release(void); /* before the store is deleted */
void cli_ending_raise(void);   /* the signal that came, if one did */

/* The first of `places`, relative to the folder of our own executable, that is there, to `ret`;
 * false = reported, with the first as what is missing. */
bool cli_find_beside(const char *const *places, size_t n, char *ret, size_t size);

/* The folder for native images, from the environment (XDG_CACHE_HOME, HOME); NULL: none known. */
const char *cli_cache_dir(char *buf, size_t size);

int cli_version(void); /* returns the exit status */
/* Help of a verb (NULL = of the program) to standard output. */
void cli_help_print(const struct cli_verb *);

#endif
