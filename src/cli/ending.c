/* A signal that ends `ssvm run` while it has processes of its own: the guest is stopped first, so
 * that they and their folders go with it. Not how the guest is stopped (ssvm_store_cancel). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/cli.h"

/* A guest that has not let go by then is left as it is. */
#define PATIENCE_S 5

static struct {
    pthread_mutex_t lock;
    ssvm_store *store; /* NULL: it is being released */
    int told;          /* an eventfd */
    pid_t self;
    volatile sig_atomic_t signal; /* 0: none */
} ending = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The second one ends us at once, and so does one in a child that has not become a program yet. */
static void note(int sig)
{
    static const uint64_t one = 1;
    int saved = errno;

    if (ending.signal || getpid() != ending.self ||
        write(ending.told, &one, sizeof one) != (ssize_t)sizeof one) {
        signal(sig, SIG_DFL);
        raise(sig); /* once this handler is over */
    }
    ending.signal = sig;
    errno = saved;
}

static void *stop_guest(void *arg)
{
    uint64_t n;

    while (read(ending.told, &n, sizeof n) < 0)
        if (errno != EINTR)
            return NULL;
    pthread_mutex_lock(&ending.lock);
    if (ending.store)
        ssvm_store_cancel(ending.store);
    pthread_mutex_unlock(&ending.lock);
    sleep(PATIENCE_S);
    cli_ending_raise();
    return arg;
}

static void catch(int sig)
{
    struct sigaction old, ours = {.sa_handler = note, .sa_flags = SA_RESTART};

    if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        sigaction(sig, &ours, NULL);
}

void cli_ending_catch(ssvm_store *store)
{
    sigset_t all, old;
    pthread_t thread;
    int r;

    ending.store = store;
    ending.self = getpid();
    ending.told = eventfd(0, EFD_CLOEXEC);
    if (ending.told < 0)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&thread, NULL, stop_guest, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return;
    pthread_detach(thread);
    catch(SIGINT);
    catch(SIGTERM);
    catch(SIGHUP);
}

void cli_ending_release(void)
{
    pthread_mutex_lock(&ending.lock);
    ending.store = NULL;
    pthread_mutex_unlock(&ending.lock);
}

void cli_ending_raise(void)
{
    int sig = ending.signal;

    if (!sig)
        return;
    signal(sig, SIG_DFL);
    kill(getpid(), sig);
}
