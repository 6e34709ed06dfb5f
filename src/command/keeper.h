/* What a process that runs native commands and its ssvm-keeper say to each other. The keeper is the
 * command's parent: it ends with it all that the command has started, and ends it all when whoever
 * asked is gone. It is two processes: one that is killed leaves the other to do so. */
#ifndef COMMAND_KEEPER_H
#define COMMAND_KEEPER_H

#define KEEPER_PROGRAM "ssvm-keeper"
/* Descriptors of the keeper: the command's standard streams, and a socket. The end of the socket
 * tells it to end all; what it writes there, once, is an int of waitpid: how the command ended, and
 * that nothing of it is left. */
#define KEEPER_FD 3
#define KEEPER_FAILED 255 /* exit status of a command that cannot be executed */

/* argv of the keeper; its environment is the command's. */
enum keeper_arg {
    KEEPER_ARG_SELF,
    KEEPER_ARG_FOLDER, /* to change to, and to keep it in (Landlock); "": none */
    KEEPER_ARG_PATH,   /* of the program */
    KEEPER_ARG_COMMAND /* its argv, from here on */
};

#endif
