/* At /greet, and at /f/@NAME@: a CGI program (RFC 3875). The request's body is standard input, the
 * rest of it is in the environment; fields, an empty line and the answer's body go to standard
 * output. */
#include <stdio.h>

int main(void)
{
    char name[256];
    size_t len = fread(name, 1, sizeof name - 1, stdin);

    name[len] = '\0';
    printf("Content-Type: text/plain; charset=utf-8\n\nHello, %s!\n", len > 0 ? name : "world");
    return 0;
}
