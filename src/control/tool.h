/* What ssvm-control does with a data folder from the command line, beside being a server's part:
 * --backup, --restore, --verify, --rotate-key. */
#ifndef CONTROL_TOOL_H
#define CONTROL_TOOL_H

/* The program's exit status: 0, 1 (and why, to stderr), or 2 (and the usage). */
int ctl_tool_run(int argc, char **argv);

#endif
