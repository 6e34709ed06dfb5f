/* The server's settings: one table (config.def) for the command line, the settings file, --help,
 * --check and --schema. Applies nothing. */
#ifndef SERVE_CONFIG_H
#define SERVE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"

#define SRV_HOST_SIZE 64
#define SRV_PORT_SIZE 8

enum srv_config_row {
#define TEXT(field, option, argument, value, doc) SRV_ROW_##field,
#define LIST TEXT
#define NUMBER(field, option, unit, value, least, most, doc) SRV_ROW_##field,
#define SWITCH(field, option, doc) SRV_ROW_##field,
#include "serve/config.def"
#undef TEXT
#undef LIST
#undef NUMBER
#undef SWITCH
    SRV_ROW_COUNT
};

struct srv_config {
    struct sv_arena arena; /* of texts that are the file's */
    const char *dir;
    bool check;
    const char *file; /* of --config; NULL: none */
    /* Where each value is from: 0 is the default, UINT32_MAX the command line, else a line. */
    uint32_t dir_origin, origins[SRV_ROW_COUNT];
#define TEXT(field, option, argument, value, doc) const char *field;
#define LIST TEXT
#define NUMBER(field, option, unit, value, least, most, doc) uint64_t field;
#define SWITCH(field, option, doc) bool field;
#include "serve/config.def"
#undef TEXT
#undef LIST
#undef NUMBER
#undef SWITCH
};

enum srv_config_result {
    SRV_CONFIG_RUN,
    SRV_CONFIG_EXIT,  /* --help, --version or --schema was answered */
    SRV_CONFIG_USAGE, /* a message is on standard error */
    SRV_CONFIG_COUNT
};

/* Defaults, then the file of --config, then the command line. Strings are borrowed from argv or lie
 * in the arena. Release it in any case. */
enum srv_config_result srv_config_read(struct srv_config *, int argc, char **argv);
void srv_config_release(struct srv_config *);
/* Tell `fn` all settings but `dir`: what read again gives the same. */
void srv_config_each(const struct srv_config *,
                     void (*fn)(void *data, const char *option, const char *value), void *data);
/* "ADDR:PORT", "[ADDR]:PORT" -> host and port; false: it is not that. */
bool srv_config_address(const char *text, char ret_host[SRV_HOST_SIZE],
                        char ret_port[SRV_PORT_SIZE]);
/* As a settings file, with where each value is from. */
void srv_config_print(const struct srv_config *, FILE *to);

#endif
