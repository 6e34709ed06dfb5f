/* A CGI program that misbehaves as the query string says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void flood(FILE *to, long kib)
{
    char line[1024];

    memset(line, 'x', sizeof line);
    line[1023] = '\n';
    for (long i = 0; i < kib; i++)
        fwrite(line, 1, sizeof line, to);
}

int main(void)
{
    const char *how = getenv("QUERY_STRING");
    struct timespec pause = {.tv_nsec = 500000000};

    if (!how)
        return 9;
    if (strcmp(how, "status") == 0)
        printf("Status: 418 short and stout\r\nContent-Type: text/plain\r\n\r\nteapot");
    else if (strcmp(how, "location") == 0)
        printf("Location: /elsewhere\n\n");
    else if (strcmp(how, "created") == 0)
        printf("Status: 201 Created\nLocation: /new\nContent-Type: text/plain\n\nmade");
    else if (strcmp(how, "own") == 0)
        printf("Content-Type: text/plain\nContent-Length: 99999\nTransfer-Encoding: "
               "chunked\nConnection: upgrade\n"
               "Access-Control-Allow-Origin: https://one\nSet-Cookie: a=1\nSet-Cookie: b=2\n\nown");
    else if (strcmp(how, "nothing") == 0)
        return 0;
    else if (strcmp(how, "headless") == 0)
        printf("just text\n");
    else if (strcmp(how, "untyped") == 0)
        printf("X-A: b\n\nbody");
    else if (strcmp(how, "badstatus") == 0)
        printf("Status: 99\nContent-Type: text/plain\n\nbody");
    else if (strcmp(how, "continue") == 0)
        printf("Status: 100 Continue\nContent-Type: text/plain\n\nbody");
    else if (strcmp(how, "split") == 0)
        printf("Content-Type: text/plain\nX-A: b\rSet-Cookie: evil=1\n\nbody");
    else if (strcmp(how, "longfields") == 0)
        printf("Content-Type: text/plain\nX-A: %08000d\n\nbody", 0);
    else if (strcmp(how, "exit") == 0)
        return printf("Content-Type: text/plain\n\nbody") ? 3 : 4;
    else if (strcmp(how, "trap") == 0)
        __builtin_trap();
    else if (strcmp(how, "flood") == 0)
        printf("Content-Type: text/plain\n\n"), flood(stdout, 100000);
    else if (strcmp(how, "errors") == 0)
        flood(stderr, 2000), printf("Content-Type: text/plain\n\nquiet");
    else if (strcmp(how, "note") == 0)
        fprintf(stderr, "note for the \"log\"\033[31m\n"),
            printf("Content-Type: text/plain\n\nnoted");
    else if (strcmp(how, "sleep") == 0)
        nanosleep(&pause, NULL), printf("Content-Type: text/plain\n\nslept");
    else if (strcmp(how, "hour") == 0)
        pause.tv_sec = 3600, nanosleep(&pause, NULL);
    else if (strcmp(how, "file") == 0)
        printf("Content-Type: text/plain\n\n%s", fopen("/etc/passwd", "r") ? "open" : "closed");
    return 0;
}
