/* Native commands for guests of `run`: what --allow-command and --allow-command-all grant. */
#include <stdlib.h>

#include "cli/cli.h"

bool cli_process_init(struct cli_process *p, size_t n)
{
    *p = (struct cli_process){.config = SSVM_PROCESS_CONFIG_INIT,
                              .commands = calloc(n, sizeof *p->commands)};
    p->config.commands = p->commands;
    return p->commands != NULL;
}

bool cli_process_allow(struct cli_process *p, const char *command)
{
    if (command)
        p->commands[p->config.ncommands++] = command;
    else
        p->config.all = true;
    return true;
}

own ssvm_error *cli_process_define(struct cli_process *p, ssvm_linker *linker)
{
    ssvm_error *e;

    if (!p->config.all && p->config.ncommands == 0)
        return NULL;
    p->config.path = getenv("PATH");
    e = ssvm_process_new(&p->config, &p->process);
    return e ? e : ssvm_linker_define_process(linker, p->process);
}

void cli_process_release(struct cli_process *p)
{
    ssvm_process_delete(p->process);
    free(p->commands);
}
