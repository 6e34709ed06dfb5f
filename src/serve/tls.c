/* TLS by OpenSSL, on sockets that do not block. */
#include "serve/tls.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "serve/h2.h"
#include "serve/loop.h"
#include "serve/ticket.h"

#define CHECK_NS 1000000000U /* between two looks at the files */
#define RECORD_MAX 16384     /* bytes of content in a record of TLS */
#define REASON_MAX 800

struct stamp { /* tells two states of a file apart */
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
};

struct srv_tls {
    const char *cert, *key; /* files */
    const struct srv_tickets *tickets;
    BIO_METHOD *method;
    pthread_mutex_t lock; /* of the rest */
    SSL_CTX *context;
    struct stamp cert_stamp, key_stamp;
    _Atomic uint64_t checked_ns;
};

struct session {
    SSL *ssl;
    bool failed; /* nothing may be sent any more, not even a farewell */
};

/* ---- Certificates ---- */

static bool stamp_of(const char *path, struct stamp *ret)
{
    struct stat st;

    memset(ret, 0, sizeof *ret);
    if (stat(path, &st) < 0)
        return false;
    ret->dev = st.st_dev;
    ret->ino = st.st_ino;
    ret->size = st.st_size;
    ret->mtime = st.st_mtim;
    ret->ctime = st.st_ctim;
    return true;
}

/* Nobody is there to be asked. */
static int no_password(char *buf, int size, int writing, void *data)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned offered_len, void *data)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    size_t skip = srv_h2_is_built() ? 0 : 3;

    (void)ssl;
    (void)data;
    if (SSL_select_next_proto((unsigned char **)ret, ret_len, ours + skip,
                              (unsigned)(sizeof ours - 1 - skip), offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* What OpenSSL's words leave open: of which error, and what to do. */
static const struct {
    int lib, reason;
    const char *text;
} explained[] = {
    {ERR_LIB_PEM, PEM_R_NO_START_LINE, "there is no certificate in PEM in it"},
    {ERR_LIB_OSSL_DECODER, ERR_R_UNSUPPORTED, "there is no private key in PEM in it"},
    {ERR_LIB_CRYPTO, ERR_R_INTERRUPTED_OR_CANCELLED,
     "a password locks it, which nobody is there to type: 'openssl pkey -in FILE -out NEW' writes "
     "it without"},
    {ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH,
     "it is not the certificate's (key values mismatch): both must be of one pair"},
};

static const char *text_of(unsigned long code)
{
    const char *text = ERR_reason_error_string(code);

    if (ERR_SYSTEM_ERROR(code))
        return strerror((int)ERR_GET_REASON(code));
    for (size_t i = 0; i < sizeof explained / sizeof explained[0]; i++) {
        if (ERR_GET_LIB(code) == explained[i].lib && ERR_GET_REASON(code) == explained[i].reason)
            return explained[i].text;
    }
    return text ? text : "it cannot be read";
}

/* What failed first. */
static void explain(char *why, const char *what, const char *path)
{
    unsigned long code = ERR_peek_error();
    bool denied = ERR_SYSTEM_ERROR(code) && ERR_GET_REASON(code) == EACCES;

    snprintf(why, REASON_MAX, "the %s '%s': %s (option '--tls-%s'%s)", what, path, text_of(code),
             strcmp(what, "key") == 0 ? "key" : "cert",
             denied ? "; workers read it, as the user of '--user'" : "");
    ERR_clear_error();
}

static void check_dates(const SSL_CTX *context, const char *path)
{
    const X509 *cert = SSL_CTX_get0_certificate(context);
    const char *what = NULL;

    if (cert && X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        what = "has expired";
    else if (cert && X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        what = "is not valid yet";
    if (what)
        fprintf(stderr,
                "ssvm-serve: warning: the certificate '%s' %s: clients will refuse it (another one "
                "under this name, with its key, is taken without a restart)\n",
                path, what);
}

/* ---- Session tickets ---- */

static bool use_key(const struct srv_ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, bool seal)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_END};

    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, seal) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's: 1: done; 2: opened with an old key, make a new ticket; 0: it is none of ours; -1: an
 * error. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int seal)
{
    const struct srv_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct srv_ticket_key keys[SRV_TICKET_KEYS];
    int r = 0;

    srv_tickets_read(tls->tickets, keys);
    if (seal) {
        memcpy(name, keys[0].name, sizeof keys[0].name);
        r = RAND_bytes(iv, EVP_MAX_IV_LENGTH) == 1 && use_key(&keys[0], iv, cipher, mac, true) ? 1
                                                                                               : -1;
    }
    for (int i = 0; i < SRV_TICKET_KEYS && !seal && r == 0; i++) {
        if (memcmp(name, keys[i].name, sizeof keys[i].name) == 0)
            r = !use_key(&keys[i], iv, cipher, mac, false) ? -1 : i == 0 ? 1 : 2;
    }
    OPENSSL_cleanse(keys, sizeof keys);
    return r;
}

static SSL_CTX *new_context(const struct srv_tls *tls, char *why)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    ERR_clear_error();
    if (!context) {
        snprintf(why, REASON_MAX, "OpenSSL cannot be started");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    if (tls->tickets) {
        SSL_CTX_set_app_data(context, (void *)tls);
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key);
    }
    SSL_CTX_set_default_passwd_cb(context, no_password);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, tls->cert) != 1) {
        explain(why, "certificate", tls->cert);
        goto fail;
    }
    if (SSL_CTX_use_PrivateKey_file(context, tls->key, SSL_FILETYPE_PEM) != 1) {
        explain(why, "key", tls->key);
        goto fail;
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        explain(why, "key", tls->key);
        goto fail;
    }
    check_dates(context, tls->cert);
    return context;
fail:
    SSL_CTX_free(context);
    return NULL;
}

/* Read changed files. A pair that does not fit, perhaps since the second of it is still to be
 * replaced, changes nothing. */
static void reload(struct srv_server *server)
{
    struct srv_tls *tls = server->tls;
    struct stamp cert, key;
    SSL_CTX *context, *old;
    char why[REASON_MAX];

    if (!stamp_of(tls->cert, &cert) || !stamp_of(tls->key, &key))
        return;
    pthread_mutex_lock(&tls->lock);
    if (memcmp(&cert, &tls->cert_stamp, sizeof cert) == 0 &&
        memcmp(&key, &tls->key_stamp, sizeof key) == 0) {
        pthread_mutex_unlock(&tls->lock);
        return;
    }
    tls->cert_stamp = cert;
    tls->key_stamp = key;
    context = new_context(tls, why);
    old = context ? tls->context : NULL;
    if (context)
        tls->context = context;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    srv_log_event(&server->log, context ? "certificate_changed" : "certificate_refused", "",
                  context ? tls->cert : why);
}

static void look_for_changes(struct srv_server *server, uint64_t now_ns)
{
    uint64_t last = atomic_load_explicit(&server->tls->checked_ns, memory_order_relaxed);

    if (now_ns - last >= CHECK_NS &&
        atomic_compare_exchange_strong(&server->tls->checked_ns, &last, now_ns))
        reload(server);
}

/* ---- Sockets ---- */

static int read_socket(BIO *bio, char *to, int room)
{
    ssize_t n = srv_socket_receive(BIO_get_data(bio), to, (size_t)room);

    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)n;
}

static int write_socket(BIO *bio, const char *bytes, int len)
{
    struct iovec part = {(char *)bytes, (size_t)len};
    ssize_t n;

    do
        n = srv_socket_send(BIO_get_data(bio), &part, 1, false);
    while (n < 0 && errno == EINTR);
    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)n;
}

static long control(BIO *bio, int command, long number, void *data)
{
    (void)bio;
    (void)number;
    (void)data;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *new_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ssvm");

    if (!method)
        return NULL;
    BIO_meth_set_read(method, read_socket);
    BIO_meth_set_write(method, write_socket);
    BIO_meth_set_ctrl(method, control);
    return method;
}

/* ---- The transport ---- */

static size_t receive(struct srv_conn *conn, char *to, size_t room)
{
    struct session *session = conn->carrier;
    size_t n = 0;

    ERR_clear_error();
    if (SSL_read_ex(session->ssl, to, room, &n) == 1) {
        conn->readable = conn->socket_readable || SSL_has_pending(session->ssl);
        return n;
    }
    switch (SSL_get_error(session->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        conn->readable = false;
        break;
    case SSL_ERROR_WANT_WRITE: /* an event tells when it goes on */
        break;
    case SSL_ERROR_ZERO_RETURN:
        conn->readable = false;
        conn->ended = true;
        break;
    default:
        session->failed = true;
        conn->readable = false;
        conn->lost = true;
    }
    return 0;
}

static ssize_t write_record(struct srv_conn *conn, const void *bytes, size_t len)
{
    struct session *session = conn->carrier;
    size_t n = 0;

    ERR_clear_error();
    if (SSL_write_ex(session->ssl, bytes, len, &n) == 1)
        return (ssize_t)n;
    switch (SSL_get_error(session->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        break;
    default:
        session->failed = true;
        errno = EPIPE;
    }
    return -1;
}

/* The beginning of all parts in one record. What was begun and did not fit the socket must come
 * again with the same bytes: it does, since nothing else is sent meanwhile. */
static ssize_t send_parts(struct srv_conn *conn, const struct iovec *parts, unsigned nparts,
                          bool more)
{
    char record[RECORD_MAX];
    size_t n = 0;

    (void)more;
    if (nparts == 1 || parts[0].iov_len == 0)
        return write_record(conn, parts[nparts - 1].iov_base, parts[nparts - 1].iov_len);
    for (unsigned i = 0; i < nparts && n < sizeof record; i++) {
        size_t len = parts[i].iov_len < sizeof record - n ? parts[i].iov_len : sizeof record - n;

        memcpy(record + n, parts[i].iov_base, len);
        n += len;
    }
    return write_record(conn, record, n);
}

static ssize_t send_file(struct srv_conn *conn, int file, int64_t offset, size_t len)
{
    char record[RECORD_MAX];
    ssize_t n = pread(file, record, len < sizeof record ? len : sizeof record, offset);

    return n > 0 ? write_record(conn, record, (size_t)n) : n;
}

static int go_on(struct srv_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    /* What did not fit the socket would have to come again before anything else: give up. */
    return write_record(conn, text, sizeof text - 1) == (ssize_t)sizeof text - 1 ? 1 : -1;
}

static void end(struct srv_conn *conn)
{
    struct session *session = conn->carrier;

    ERR_clear_error();
    if (!session->failed && SSL_is_init_finished(session->ssl))
        SSL_shutdown(session->ssl);
    session->failed = true;
    srv_transport_plain.end(conn);
}

static void close_session(struct srv_conn *conn)
{
    struct session *session = conn->carrier;

    if (!session->failed && !conn->lost)
        end(conn);
    SSL_free(session->ssl);
    free(session);
    srv_transport_plain.close(conn);
}

static int unsent(const struct srv_conn *conn)
{
    return srv_transport_plain.unsent(conn);
}

static const struct srv_transport transport = {
    .receive = receive,
    .send = send_parts,
    .send_file = send_file,
    .go_on = go_on,
    .unsent = unsent,
    .end = end,
    .close = close_session,
};

bool srv_tls_begin(struct srv_conn *conn)
{
    struct srv_server *server = conn->loop->server;
    struct session *session = calloc(1, sizeof *session);
    BIO *bio = BIO_new(server->tls->method);

    look_for_changes(server, conn->loop->now_ns);
    if (session && bio) {
        pthread_mutex_lock(&server->tls->lock);
        session->ssl = SSL_new(server->tls->context);
        pthread_mutex_unlock(&server->tls->lock);
    }
    if (!session || !session->ssl) {
        BIO_free(bio);
        free(session);
        return false;
    }
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_accept_state(session->ssl);
    conn->transport = &transport;
    conn->carrier = session;
    return true;
}

/* ---- Start and end ---- */

static bool is_wanted(const struct srv_server *server)
{
    for (unsigned i = 0; i < server->nlisteners; i++) {
        if (server->listeners[i].tls)
            return true;
    }
    return false;
}

bool srv_tls_init(struct srv_server *server)
{
    struct srv_tls *tls;
    char why[REASON_MAX];

    if (!is_wanted(server))
        return true;
    if (strcmp(server->config.tls_cert, "none") == 0 ||
        strcmp(server->config.tls_key, "none") == 0) {
        fprintf(stderr,
                "ssvm-serve: an https:// address needs the options '--tls-cert' and '--tls-key'\n");
        return false;
    }
    tls = calloc(1, sizeof *tls);
    if (!tls)
        return false;
    tls->cert = server->config.tls_cert;
    tls->key = server->config.tls_key;
    tls->tickets = server->tickets;
    pthread_mutex_init(&tls->lock, NULL);
    stamp_of(tls->cert, &tls->cert_stamp);
    stamp_of(tls->key, &tls->key_stamp);
    tls->method = new_method();
    tls->context = tls->method ? new_context(tls, why) : NULL;
    server->tls = tls;
    if (tls->context)
        return true;
    fprintf(stderr, "ssvm-serve: %s\n", tls->method ? why : "out of memory");
    srv_tls_release(server);
    return false;
}

void srv_tls_release(struct srv_server *server)
{
    struct srv_tls *tls = server->tls;

    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
    server->tls = NULL;
}
