// SPDX-License-Identifier: Apache-2.0
// Repo: what lies in the model repositories. Reads directories and configurations; knows nothing of what is loaded.
//
// A repository is a local directory with one directory a model. Everything here blocks on files. Start at
// repo_read_model().
#ifndef NEREID_CORE_REPO_H
#define NEREID_CORE_REPO_H

#include "base/status.h"
#include "config/model_config.h"
#include "core/options.h"
#include "core/parameter.h"

// The repositories of a server. Changes only in explicit mode, under the life cycle's mutex.
struct repo_set {
    struct text_list paths; // sorted
    struct setting_list
        mappings; // group: repository, key: model name, value: directory of the model
};

// Refuses what is no local directory: UNSUPPORTED for s3://, gs:// and as://, INTERNAL "failed to stat file PATH",
// INVALID_ARG "repository path is not a valid directory". Thread: any.
NRD_MUST_USE struct nrd_status *repo_check_path(const char *path);
// The names of the subdirectories of `path`, sorted. Returns owned: text_list_fini.
NRD_MUST_USE struct nrd_status *repo_subdirs(const char *path, struct text_list *names);
// Where model `name` lies: `*directory` and `*repository` are owned, NULL if it is in none or in several, which is logged.
// False when it could not be told or found. Thread: any.
bool repo_find(const struct repo_set *set, const char *name, char **repository, char **directory);
NRD_MUST_USE struct nrd_status *repo_set_copy(const struct repo_set *from, struct repo_set *to);
void repo_set_fini(struct repo_set *set);

// Files given with a load, in a directory of their own that goes with the last reference.
struct repo_files;
struct repo_files *repo_files_ref(struct repo_files *files); // NULL is fine
void repo_files_unref(struct repo_files *files);             // NULL is fine

// What one look at a model found.
struct repo_model {
    char *name;
    char *repository;
    char *directory;
    struct repo_files *files; // behind `directory` if it was given with the load
    Inference__ModelConfig *config;
    bool config_provided; // by a file or by the load
    bool unmodified;      // then there is no config
    // Newest time of all files. With a configuration of the load's own it is the moment of the load, so that only a
    // later change of the files undoes it; with files of the load's own it is 0, so that the next look sees a change.
    int64_t modified_ns;
};

// How to look.
struct repo_look {
    const struct server_options *options;
    struct gpus *gpus; // NULL: no GPUs
    const char *name;
    const char *repository;
    const char *directory; // NULL: the files are among `parameters`
    bool mapped;           // the directory goes by another name
    const struct parameter *const *parameters;
    size_t parameter_count;
    bool has_previous; // the model is known, with
    int64_t previous_ns;
};

// Reads, completes and checks one model's configuration. Errors: what is wrong with it, in Triton's words. Returns owned:
// repo_model_fini.
NRD_MUST_USE struct nrd_status *repo_read_model(const struct repo_look *look,
                                                struct repo_model *model);
void repo_model_fini(struct repo_model *model);

// The versions that the version policy selects of those in `directory`, ascending. INVALID_ARG "at least one version must
// be available under the version policy of model 'M'". Returns owned (mem_free).
NRD_MUST_USE struct nrd_status *repo_versions(const char *directory, const char *name,
                                              const Inference__ModelConfig *config,
                                              int64_t **versions, size_t *count);

#endif
