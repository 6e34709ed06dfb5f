/* At /greet, and at /f/@NAME@: a CGI program (RFC 3875). The request's body is standard input, the
 * rest of it is in the environment; fields, an empty line and the answer's body go to standard
 * output. */
#include <stdio.h>

/* What more there is; ssvm.yaml says what the function may use:
 *
 *     #include "ssvm_state.h" // of the folder sdk
 *     int64_t visits;
 *     ssvm_kv_increment(name, len, 1, 0, &visits); // grants: {kv: on}
 *     ssvm_http_request("GET", 3, url, url_len, ...); // grants: {allow-http: example.org}
 *     fprintf(stderr, "greeted %s\n", name); // into the log: `ssvm logs @NAME@` */

int main(void)
{
    char name[256];
    size_t len = fread(name, 1, sizeof name - 1, stdin);

    name[len] = '\0';
    printf("Content-Type: text/plain; charset=utf-8\n\nHello, %s!\n", len > 0 ? name : "world");
    return 0;
}
