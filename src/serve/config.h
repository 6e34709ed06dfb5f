/* The server's settings: one table (config.def) for the parser, --help and --check. Applies
 * nothing. */
#ifndef SERVE_CONFIG_H
#define SERVE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct srv_config {
    const char *dir;
    bool check;
#define TEXT(field, option, argument, value, doc) const char *field;
#define NUMBER(field, option, unit, value, least, most, doc) uint64_t field;
#define SWITCH(field, option, doc) bool field;
#include "serve/config.def"
#undef TEXT
#undef NUMBER
#undef SWITCH
};

enum srv_config_result {
    SRV_CONFIG_RUN,
    SRV_CONFIG_EXIT, /* --help or --version was answered */
    SRV_CONFIG_USAGE /* a message is on standard error */
};

/* Defaults, then the command line. Strings are borrowed from argv. */
enum srv_config_result srv_config_read(struct srv_config *, int argc, char **argv);
void srv_config_print(const struct srv_config *, FILE *to);

#endif
