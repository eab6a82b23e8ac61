// SPDX-License-Identifier: Apache-2.0
// The commands of the `nereid` program; main.c chooses one, each has a file of its own.
#ifndef NEREID_CLI_CLI_H
#define NEREID_CLI_CLI_H

// Each takes the command line from the command's own name on, and returns the exit status.
int cli_serve(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_place(int argc, char **argv);
int cli_build(int argc, char **argv);

#endif
