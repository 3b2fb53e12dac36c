/* Times system calls one by one: calls FOLDER [NAME COUNT]... prints "NAME MICROSECONDS", the best of five rounds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char file[4096], lnk[4096], program[4096];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int once(const char *name) {
    char buffer[4096];
    struct stat s;
    if (!strcmp(name, "stat")) return stat(file, &s);
    if (!strcmp(name, "open")) return close(open(file, O_RDONLY));
    if (!strcmp(name, "relative")) return close(open("file", O_RDONLY));
    if (!strcmp(name, "access")) return access(file, R_OK);
    if (!strcmp(name, "readlink")) return readlink(lnk, buffer, sizeof buffer) < 0;
    if (!strcmp(name, "getcwd")) return getcwd(buffer, sizeof buffer) == NULL;
    if (!strcmp(name, "plain")) return syscall(SYS_getppid) < 0;
    if (!strcmp(name, "exec")) {
        int status = 1;
        pid_t child = vfork();
        if (child == 0) {
            execl(program, "calls", (char *)NULL);
            _exit(1);
        }
        waitpid(child, &status, 0);
        return status;
    }
    return 1;
}

int main(int count, char **words) {
    if (count < 2) return 0;
    snprintf(file, sizeof file, "%s/file", words[1]);
    snprintf(lnk, sizeof lnk, "%s/link", words[1]);
    snprintf(program, sizeof program, "%s/calls", words[1]);
    if (chdir(words[1])) return 1;
    for (int at = 2; at + 1 < count; at += 2) {
        int times = atoi(words[at + 1]);
        double best = 1e18;
        for (int round = 0; round < 5; round++) {
            double began = now();
            for (int n = 0; n < times; n++)
                if (once(words[at])) {
                    perror(words[at]);
                    return 1;
                }
            double taken = (now() - began) / times;
            if (taken < best) best = taken;
        }
        printf("%s %.2f\n", words[at], best);
    }
    return 0;
}
