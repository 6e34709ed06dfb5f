/* The data folder: made, checked, and locked against a second server. What lies in it is the
 * control process's. */
#ifndef SERVE_DATA_H
#define SERVE_DATA_H

#include "serve/process.h"
#include "serve/server.h"

/* Find, and make, the folders that the settings mean: server->data, and config.data and
 * config.cache_dir as paths or "none". `has_control`: there is a program for the data. False with a
 * message on standard error. */
bool srv_data_open(struct srv_server *, const struct srv_user *, bool has_control);

/* Could it, by who starts the server? Makes nothing. */
bool srv_data_try(const struct srv_config *, bool has_control);
/* And is what is there the user's that processes are to be, who we have become? */
bool srv_data_try_user(const struct srv_config *);

#endif
