/* A CGI program that says what it was given. */
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

int main(int argc, char **argv)
{
    int c;

    printf("Content-Type: text/plain\nX-Args: %d %s\n\n", argc, argv[0]);
    for (char **e = environ; *e; e++)
        printf("%s\n", *e);
    printf("\n");
    while ((c = getchar()) != EOF)
        putchar(c);
    return 0;
}
