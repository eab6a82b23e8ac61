// SPDX-License-Identifier: Apache-2.0
// Placing: what the life cycle tells the placer of models that are about to be loaded, or that could be.
#include "base/log.h"
#include "base/mem.h"
#include "core/lifecycle_private.h"
#include "core/place/placer.h"
#include "core/server.h"

void lifecycle_place(struct lifecycle *lifecycle, struct load *loads, size_t count)
{
    struct placer *placer = lifecycle->server->placer;
    struct placer_load *list = mem_calloc(count + 1, sizeof(*list));
    size_t used = 0;
    for (size_t i = 0; i < count && list != NULL; i++) {
        const struct load *load = &loads[i];
        if (load->status != NULL || load->version_count == 0) {
            continue;
        }
        list[used++] =
            (struct placer_load){.name = load->entry->name,
                                 .version = load->versions[load->version_count - 1]->number,
                                 .version_count = (uint32_t)load->version_count,
                                 .repository = load->found.repository,
                                 .directory = load->found.directory,
                                 .config = load->found.config,
                                 .config_provided = load->found.config_provided};
    }
    if (used > 0 && placer_wanted(placer, list, used)) {
        placer_choose(placer, list, used);
    }
    for (size_t i = 0, k = 0; i < count && k < used; i++) {
        if (loads[i].status == NULL && loads[i].version_count > 0) {
            loads[i].placed_groups = list[k++].placed_groups;
        }
    }
    mem_free(list);
}

// ---- a report -----------------------------------------------------------------------------------------------------

// One model of the repositories, with what placer_load borrows.
struct found {
    struct repo_model model;
    char *repository;
    char *directory;
};

struct finds {
    struct found *items;
    struct placer_load *loads;
    size_t count;
};

static struct nrd_status *list_names(const struct repo_set *repos, struct text_list *names)
{
    for (size_t i = 0; i < repos->paths.count; i++) {
        struct text_list some = {0};
        NRD_TRY(repo_subdirs(repos->paths.items[i], &some));
        struct nrd_status *status = NULL;
        for (size_t k = 0; k < some.count && status == NULL; k++) {
            if (!text_list_has(names, some.items[k])) {
                status = text_list_add(names, some.items[k]);
            }
        }
        text_list_fini(&some);
        NRD_TRY(status);
    }
    return NULL;
}

// Reads the model and says what there is to place. On an error `found` still has to be freed.
static struct nrd_status *find(struct lifecycle *lifecycle, const char *name, struct found *found,
                               struct placer_load *load)
{
    const struct repo_look look = {.options = lifecycle->server->options,
                                   .gpus = lifecycle->server->gpus,
                                   .name = name,
                                   .repository = found->repository,
                                   .directory = found->directory};
    int64_t *versions = NULL;
    size_t count = 0;
    NRD_TRY(repo_read_model(&look, &found->model));
    NRD_TRY(repo_versions(found->directory, name, found->model.config, &versions, &count));
    *load = (struct placer_load){.name = name,
                                 .version = versions[count - 1],
                                 .version_count = (uint32_t)count,
                                 .repository = found->repository,
                                 .directory = found->directory,
                                 .config = found->model.config,
                                 .config_provided = found->model.config_provided};
    mem_free(versions);
    return NULL;
}

static void find_all(struct lifecycle *lifecycle, const struct repo_set *repos,
                     const struct text_list *names, struct finds *finds)
{
    for (size_t i = 0; i < names->count; i++) {
        struct found *found = &finds->items[finds->count];
        if (!repo_find(repos, names->items[i], &found->repository, &found->directory)) {
            continue; // the log says why
        }
        struct nrd_status *status =
            find(lifecycle, names->items[i], found, &finds->loads[finds->count]);
        if (status == NULL) {
            finds->count++;
            continue;
        }
        LOG_ERR("model '%s' is left out: %s", names->items[i], status_text(status));
        status_free(status);
        repo_model_fini(&found->model);
        mem_free(found->repository);
        mem_free(found->directory);
        *found = (struct found){0};
    }
}

static void finds_fini(struct finds *finds)
{
    for (size_t i = 0; i < finds->count; i++) {
        repo_model_fini(&finds->items[i].model);
        mem_free(finds->items[i].repository);
        mem_free(finds->items[i].directory);
    }
    mem_free(finds->items);
    mem_free(finds->loads);
}

struct nrd_status *lifecycle_report_places(struct lifecycle *lifecycle, struct str *json)
{
    struct repo_set repos = {0};
    struct text_list names = {0};
    struct finds finds = {0};
    pthread_mutex_lock(&lifecycle->mutex);
    struct nrd_status *status = repo_set_copy(&lifecycle->repos, &repos);
    pthread_mutex_unlock(&lifecycle->mutex);
    if (status == NULL) {
        status = list_names(&repos, &names);
    }
    finds.items = mem_calloc(names.count + 1, sizeof(*finds.items));
    finds.loads = mem_calloc(names.count + 1, sizeof(*finds.loads));
    if (status == NULL && (finds.items == NULL || finds.loads == NULL)) {
        status = status_no_memory();
    }
    if (status == NULL) {
        find_all(lifecycle, &repos, &names, &finds);
        status = placer_report(lifecycle->server->placer, finds.loads, finds.count, json);
    }
    finds_fini(&finds);
    text_list_fini(&names);
    repo_set_fini(&repos);
    return status;
}
